"""The doctor on a tiny random model of every text classifier of transformers: sound, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.measuring.doctor.examining import JUDGED_BY_TEXT, edit_json, examined, red, texts
from tests.rewards.every_architecture import names, save

REFUSED = {  # why no batch of theirs, or none of their texts, can be trusted
    **dict.fromkeys(
        ("bart", "mbart", "mt5", "mvp", "t5", "umt5"), "in a batch: All examples must have the same number"
    ),
    **dict.fromkeys(("bigbird_pegasus", "plbart"), "one at a time: Each example must contain at least one <eos> token"),
    **dict.fromkeys(
        ("convbert", "fnet", "nystromformer", "t5gemma", "xlnet", "yoso"),
        "other rewards in a batch than each alone in plain transformers",
    ),
    "mra": "NaN or infinity, in plain transformers, too",
}


@pytest.mark.parametrize("name", names())
def test_no_architecture_is_accused_wrongly(name: str, tmp_path: Path) -> None:
    folder = save(name, tmp_path / name)
    edit_json(folder / "tokenizer_config.json", padding_side="right")
    report = examined(folder, texts(8, longest=6))
    if name in REFUSED:
        (said,) = report.diagnoses
        assert (said.colour, said.examination) == ("red", "loads safely")
        assert REFUSED[name] in said.found
        assert said.fix
        return
    assert red(report) <= JUDGED_BY_TEXT, [d for d in report.diagnoses if d.colour == "red"]
    assert len(report.diagnoses) >= 12


def test_sixty_architectures_are_examined_and_the_refused_are_among_them() -> None:
    assert len(names()) - len(REFUSED) >= 60
    assert set(names()) >= set(REFUSED)
