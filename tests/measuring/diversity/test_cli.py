"""``rmminer diversity`` and ``rmminer gap`` as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from miner.judging.gold import ContrastGold

Run = Callable[..., tuple[int, str, str]]


def one_line(result: tuple[int, str, str]) -> str:
    code, _, err = result
    assert code == 2, result
    assert "Traceback" not in err
    *notes, error = err.strip().splitlines()
    assert error.startswith("rmminer: ")
    assert not any(note.startswith("rmminer: ") for note in notes)
    return error


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path, rng = tmp_path / "texts.jsonl", Random(0)
    rows = [{"prompt": f"p{i % 8}", "text": " ".join(rng.sample("abcdefghij", 6))} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_are_measured_and_compared(run: Run, texts: Path, tiny_rm_folder: Path, tmp_path: Path) -> None:
    same = tmp_path / "same.jsonl"
    rows = [json.loads(line) for line in texts.read_text().splitlines()]
    same.write_text("".join(json.dumps({**row, "text": "a b c d e f"}) + "\n" for row in rows))
    code, out, _ = run("diversity", "--texts", texts, "--texts", same, "--embedding", tiny_rm_folder,
                       "--samples", 5, "--out", tmp_path / "out", "--json")  # fmt: skip
    assert code == 0
    before, after = json.loads(out)["sides"]
    assert (before["label"], after["label"]) == ("texts.jsonl", "same.jsonl")
    change = {(c["name"], c["scope"]): c["difference"] for c in after["changes"]}
    assert change["self_bleu", "within"]["low"] > 0
    assert change["distinct_2", "within"]["high"] < 0
    assert (tmp_path / "out" / "diversity.html").exists()
    code, out, _ = run("diversity", "--texts", texts, "--embedding", tiny_rm_folder, "--out", tmp_path / "out")
    assert code == 0
    assert "self-BLEU" in out


def test_bad_input_of_diversity_is_one_line_and_status_2(
    run: Run, texts: Path, tiny_rm_folder: Path, policy_folder: Path, preference_file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    few = tmp_path / "few.jsonl"
    few.write_text('{"text": "a"}\n' * 4)
    embedded = ("--embedding", tiny_rm_folder)
    assert "too few for an interval" in one_line(run("diversity", "--texts", few, *embedded))
    assert "cannot read" in one_line(run("diversity", "--texts", tmp_path / "nowhere.jsonl", *embedded))
    assert "no model folder" in one_line(run("diversity", "--texts", texts, "--embedding", "./nowhere"))
    assert "above zero" in one_line(run("diversity", "--texts", texts, *embedded, "--temperature", 0))
    assert "no corpus" in one_line(run("diversity", "--corpus", tmp_path, *embedded))
    assert "nothing to measure" in one_line(run("diversity", "--data", preference_file, *embedded))
    long = ("--max-new-tokens", 500, "--data", preference_file)
    assert "Lower max_new_tokens" in one_line(run("diversity", policy_folder, *long, *embedded))
    assert "too few for an interval" in one_line(
        run("diversity", policy_folder, "--data", preference_file, "--prompts", 3, "--samples", 2, *embedded)
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "--embedding FOLDER" in one_line(run("diversity", "--texts", texts))


def test_a_policy_and_an_rm_of_ones_own_are_enough_for_gap(
    run: Run, tiny_rm_folder: Path, policy_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    options = ("--rm", tiny_rm_folder, "--policy", policy_folder, "--data", preference_file, "--samples", 4,
               "--prompts", 8, "--max-new-tokens", 12, "--out", tmp_path / "gap", "--dtype", "float32")  # fmt: skip
    code, out, _ = run("gap", *options, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["selections"][0]["prompts"] == 8
    assert [point["n"] for point in found["selections"][0]["curve"]] == [1, 2, 3, 4]
    assert found["facts"] == []
    assert any("no chat template" in note for note in found["notes"])
    assert any("--facts FILE" in note for note in found["notes"])
    convicted = "0 where the checks convict (repetition"
    assert f"{ContrastGold.of(()).name}, {convicted}" in found["settings"]["gold"]
    assert any("Gold of the other prompts' good answers" in note for note in found["notes"])
    code, out, _ = run("gap", *options)
    assert code == 0
    assert "picked by the RM" in out
    code, out, _ = run("gap", *options, "--dry-run", "--json")
    assert json.loads(out)["samples"] == 32


def test_another_rm_is_gold_of_diversity(
    run: Run, policy_folder: Path, tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    code, out, err = run(
        "diversity", policy_folder, "--data", preference_file, "--embedding", tiny_rm_folder, "--prompts", 8,
        "--samples", 3, "--max-new-tokens", 8, "--off-mode-tokens", 0, "--gold-rm", tiny_rm_folder, "--json",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert found["settings"]["gold"] == f"reward of {tiny_rm_folder.name}"
    assert found["sides"][0]["gold"]["n"] == 8


def test_bad_input_of_gap_is_one_line_and_status_2(
    run: Run, tiny_rm_folder: Path, policy_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    good: tuple[Any, ...] = ("--rm", tiny_rm_folder, "--data", preference_file, "--samples", 3, "--max-new-tokens", 8)
    assert "no policy" in one_line(run("gap", *good))
    assert "no model folder" in one_line(run("gap", *good, "--policy", "./nowhere"))
    assert "too few for an interval" in one_line(run("gap", *good, "--policy", policy_folder, "--prompts", 2))
    assert "nothing to measure" in one_line(run("gap", *good, "--prompts", 0))
    broken = tmp_path / "facts.jsonl"
    broken.write_text("{}\n")
    assert "line 1" in one_line(run("gap", *good, "--policy", policy_folder, "--facts", broken))
    no_references = tmp_path / "prompts.jsonl"
    no_references.write_text("".join(json.dumps({"prompt": f"What is {i}?"}) + "\n" for i in range(60)))
    assert "--gold-rm" in one_line(
        run("gap", "--rm", tiny_rm_folder, "--data", no_references, "--policy", policy_folder, "--samples", 3)
    )


def test_help_of_both_loads_no_torch(run: Run) -> None:
    for verb in ("diversity", "gap"):
        code, out, _ = run(verb, "--help")
        assert code == 0
        assert "--json" in out
