"""The whole measurement, on texts and policies whose answer is known, and the report it makes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from corpus.records import Message, Prompt
from miner.cli.diversity_tables import diversity_table
from miner.errors import DataError, ModelError
from miner.judging.gold import Answer, ContrastGold, Gold
from miner.measuring.diversity import (
    DiversityReport,
    MeasuredSource,
    PromptResponses,
    ResponseSets,
    Settings,
    load_embedding,
    measure_diversity,
    read_diversity,
)
from miner.measuring.diversity.embedding import SentenceEmbedding
from miner.progress import Silent
from miner.reporting.measurements import write_measurement
from miner.reporting.sections import DIVERSITY

MARKUP = "<script>alert(1)</script>‮"


@pytest.fixture(scope="module")
def embedding(tiny_rm_folder: Path) -> SentenceEmbedding:
    """The encoder below a reward model, mean-pooled: untrained, but the same text is at the same place."""
    return load_embedding(tiny_rm_folder, device="cpu")


def measured(
    sources: list[MeasuredSource],
    embedding: SentenceEmbedding,
    folder: Path,
    prompts: tuple[Prompt, ...] = (),
    *,
    mode_distance: float = 1e-4,
    off_mode_tokens: int = 0,
    gold: Gold | None = None,
) -> DiversityReport:
    chosen = Settings(
        samples=6, max_new_tokens=12, mode_distance=mode_distance, off_mode_tokens=off_mode_tokens, device="cpu"
    )
    return measure_diversity(
        sources, prompts, embedding=embedding, settings=chosen, gold=gold or ContrastGold.of(prompts), folder=folder,
        observer=Silent(), command="test",
    )  # fmt: skip


def side_of(label: str, texts: list[list[str]]) -> MeasuredSource:
    written = tuple(PromptResponses(key=str(i), group=str(i), responses=tuple(of)) for i, of in enumerate(texts))
    return MeasuredSource(label=label, response_sets=ResponseSets(label=label, written=written))


def test_identical_two_fold_and_random_texts_have_their_known_answers(
    embedding: SentenceEmbedding, tmp_path: Path
) -> None:
    rng, vocabulary = Random(0), [f"word{i}" for i in range(400)]
    same = side_of("same", [["return the name of the file"] * 6 for _ in range(12)])
    two = side_of("two", [["return the name of the file"] * 4 + ["open a socket now please do"] * 2] * 12)
    varied = side_of("random", [[" ".join(rng.sample(vocabulary, 6)) for _ in range(6)] for _ in range(12)])
    report = measured([same, two, varied], embedding, tmp_path, mode_distance=1e-6)
    first, second, third = report.sides

    def value(side: int, name: str) -> float:
        found = report.sides[side].metric(name, "within")
        assert found is not None
        return found.value

    assert [value(i, "top_mode") for i in range(3)] == pytest.approx([1, 4 / 6, 1 / 6], abs=0.02)
    assert [value(i, "modes") for i in range(3)] == pytest.approx([1, 2, 6], abs=0.1)
    assert [value(i, "self_bleu") for i in range(3)] == pytest.approx([1, 1, 0], abs=0.02)
    assert value(0, "distinct_1") == pytest.approx(5 / 36), "“the” stands twice in six words"
    assert value(2, "distinct_1") > 0.9
    assert value(0, "cosine") == pytest.approx(1)
    silhouette = second.metric("silhouette", "within")
    assert silhouette is not None
    assert silhouette.value == pytest.approx(1, abs=1e-3)
    assert first.metric("silhouette", "within") is None
    change = third.change("top_mode", "within")
    assert change is not None
    assert change.high < 0
    assert len(first.points) == len(first.points[0]) * 36


def test_a_policy_compared_with_itself_differs_in_nothing(
    policy_folder: Path, embedding: SentenceEmbedding, tmp_path: Path
) -> None:
    prompts = tuple(
        Prompt(conversation=(Message(role="user", content=f"What does `{n}` do?"),), reference=f"Open path {n}.")
        for n in "abcdefghijklmno"
    )
    sources = [
        MeasuredSource(label=MARKUP, policy=str(policy_folder)),
        MeasuredSource(label="again", policy=str(policy_folder)),
    ]
    report = measured(sources, embedding, tmp_path, prompts, off_mode_tokens=2)
    before, after = report.sides
    assert {change.difference.value for change in after.changes} == {0.0}
    assert {"entropy", "distinct_2", "self_bleu", "cosine", "modes"} <= {change.name for change in after.changes}
    assert after.kl is not None
    assert after.kl.value == pytest.approx(0, abs=1e-5)
    assert after.gold_change is not None
    assert after.gold_change.value == 0
    assert before.sqrt_kl == 0
    assert len(before.entropy_by_position) >= 3
    assert any("no chat template" in note for note in report.notes)

    report.write(tmp_path)
    assert read_diversity(tmp_path) == report
    assert json.loads((tmp_path / "diversity.json").read_text())["settings"]["samples"] == 6
    page = write_measurement(tmp_path, DIVERSITY, f"Diversity of {MARKUP}", report).read_text()
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == set(DIVERSITY.figures)
    assert "<script" not in page
    assert "\\u202e" in page
    assert "‮" not in page
    assert (tmp_path / "plots" / "diversity_kl.png").read_bytes()[:4] == b"\x89PNG"


def test_a_stored_report_of_another_version_is_refused(tmp_path: Path) -> None:
    assert read_diversity(tmp_path) is None
    (tmp_path / "diversity.json").write_text('{"sides": []}')
    with pytest.raises(DataError, match="not a diversity report of this version"):
        read_diversity(tmp_path)


def test_neither_order_nor_company_moves_an_embedding(embedding: SentenceEmbedding) -> None:
    texts = ["Open the file.", "a", "Return the name of the file that was opened last, please."]
    together = embedding.embed(texts)
    for text, vector in zip(texts, together, strict=True):
        assert embedding.embed([text])[0] == pytest.approx(vector, abs=1e-6)
        assert float(vector @ vector) == pytest.approx(1)


def test_a_pooling_of_another_kind_is_refused(tiny_rm_folder: Path, tmp_path: Path) -> None:
    for file in tiny_rm_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(ModelError, match="pools by pooling_mode_max_tokens"):
        load_embedding(tmp_path)
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls", "include_prompt": true}')
    assert load_embedding(tmp_path, device="cpu").pooling == "cls"


class FirstWord:
    """One for texts that begin with "good"; it abstains on those that begin with "hm"."""

    name = fingerprint = "first word"
    needs_reference = False

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        return [None if one.response.startswith("hm") else float(one.response.startswith("good")) for one in answers]


def asked_side(label: str, texts: list[list[str]], gold: float | None = None) -> MeasuredSource:
    written = tuple(
        PromptResponses(key=str(i), group=str(i), responses=tuple(of), prompt=(Message(role="user", content=f"{i}?"),))
        for i, of in enumerate(texts)
    )
    return MeasuredSource(label=label, response_sets=ResponseSets(label=label, written=written), gold=gold)


def test_prompts_on_which_gold_abstains_are_left_out_with_a_note(embedding: SentenceEmbedding, tmp_path: Path) -> None:
    half = ["good answer to that", "good idea of mine", "bad answer to that", "bad idea of mine"]
    before = asked_side("before", [half] * 8)
    after = asked_side(
        "after", [["good one there is", *half[1:2], "good as it gets"]] * 6 + [["hm well then", *half]] * 2
    )
    report = measured([before, after], embedding, tmp_path, gold=FirstWord())
    first, second = report.sides
    assert first.gold is not None
    assert (first.gold.value, first.gold.n) == (0.5, 8)
    assert second.gold is not None
    assert (second.gold.value, second.gold.n) == (1.0, 6)
    assert second.gold_change is not None
    assert (second.gold_change.value, second.gold_change.n) == (0.5, 6)
    assert [note for note in report.notes if "gold" in note] == [
        "after: 2 prompts have no gold: it abstained on a text."
    ]


def test_a_gold_that_was_known_already_is_shown_without_an_interval(
    embedding: SentenceEmbedding, tmp_path: Path
) -> None:
    rng, vocabulary = Random(1), [f"word{i}" for i in range(60)]
    texts = [[" ".join(rng.sample(vocabulary, 6)) for _ in range(6)] for _ in range(12)]
    told = [replace(side_of(f"step {step}", texts), gold=gold, sqrt_kl=step) for step, gold in ((0, 0.4), (2, 0.3))]
    report = measured(told, embedding, tmp_path)
    assert [(side.gold, side.gold_given) for side in report.sides] == [(None, 0.4), (None, 0.3)]
    report.write(tmp_path)
    assert read_diversity(tmp_path) == report
    page = write_measurement(tmp_path, DIVERSITY, "Known gold", report).read_text()
    assert (tmp_path / "plots" / "diversity_kl.png").exists()
    row = page[page.index('data-name="gold"') :]
    assert "<td>0.400</td>" in row[: row.index("</tr>")]
    assert "[" not in row[: row.index("</tr>")]
    assert "0.300" in diversity_row(report)


def diversity_row(report: DiversityReport) -> str:
    """The line of the terminal's table that says gold."""
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(diversity_table(report))
    return next(line for line in console.export_text().splitlines() if line.strip().startswith("gold"))
