"""People as gold: a blind sheet of stored answers, and what their scores show, without a model."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from miner.cli.entry import app
from miner.errors import ConfigError, DataError, RmMinerError
from miner.overopt.asked import ASKED, keep_asked, read_asked
from miner.overopt.curves import Curves
from miner.overopt.label_files import answer_key, read_label_file, write_sheet
from miner.overopt.label_sheet import label_sheet
from miner.overopt.labels import agreement, read_labels
from miner.overopt.log import RunInfo, RunLog, read_samples
from miner.overopt.measuring import NAN, SampleRow
from miner.overopt.onset import gold_onset
from miner.overopt.report import write_overopt_report
from miner.overopt.rl import RlRun
from miner.overopt.summary import summarise_study
from miner.testing import toy_prompts

PROMPTS = toy_prompts(24)
STEPS = range(0, 60, 5)
STARTS = ("=1+1 ", "+", "-", "@SUM ", "\t=", "", "\u202e", "“", "a\n=b ", " ")  # what mined text may begin with
QUOTE = '"'


def mined(seed: int, n: int, step: int) -> str:
    """Another text for every run, prompt and step, such as a spreadsheet would like to act on."""
    return f"{STARTS[n % len(STARTS)]}{seed}; {n}, {'' if n % 2 else QUOTE}{step}"


def gaming_rows(seed: int) -> list[SampleRow]:
    """Gold falls from step 25 on, while the proxy climbs."""
    rng = np.random.default_rng(seed)
    return [
        SampleRow(
            step=step, prompt_id=prompt.prompt_id, response=mined(seed, n, step),
            proxy=0.005 * step + 0.06 * max(0, step - 25) + rng.normal(),
            gold=0.3 + 0.001 * min(step, 25) - 0.008 * max(0, step - 25) + 0.1 * rng.normal(),
            second=rng.normal(), kl=0.1 * step, entropy=3.0, length=5.0, repetition=0.0,
            surprise=4 + 0.3 * rng.normal(), latent=1.0, nonsense=NAN,
        )
        for step in STEPS
        for n, prompt in enumerate(PROMPTS)
    ]  # fmt: skip


def store(folder: Path, rows: list[SampleRow]) -> None:
    log = RunLog(folder)
    log.samples = rows
    log.write_rows()
    log.write_info(RunInfo(name=folder.name, method="rl", settings={}, models={}, bar={}, status="done"))
    keep_asked(folder, PROMPTS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run's folder with a study of two runs, and nothing else: no campaign file, no model."""
    for seed in (0, 1):
        store(tmp_path / "run" / "overopt" / f"rl-seed{seed}", gaming_rows(seed))
    return tmp_path / "run"


@pytest.fixture
def study(out: Path) -> Path:
    return out / "overopt"


def cells(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return [json.loads(line) for line in text.splitlines()]


def stored_gold(study: Path) -> dict[tuple[str, str], float]:
    rows = [row for run in sorted(study.glob("rl-*")) for row in read_samples(run)]
    return {answer_key(row.prompt_id, row.response): row.gold for row in rows}


def fill(path: Path, score: Callable[[tuple[str, str]], float | None], **dialect: Any) -> Path:
    """As somebody would who scores by ``score``; saved in the ``dialect`` of their spreadsheet, without our mark."""
    rows = cells(path)
    for row in rows:
        given = score(answer_key(row["prompt_id"], row["response"]))
        row["score"] = "" if given is None else repr(given)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), **dialect)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sheet(study: Path, path: Path, n_prompts: int | None = None) -> Path:
    write_sheet(path, label_sheet(study, n_prompts=n_prompts).rows)
    return path


def invoke(*arguments: object) -> Any:
    done = CliRunner().invoke(app, ["overopt", *map(str, arguments)])
    if isinstance(done.exception, RmMinerError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_sheet_is_blind_and_covers_whole_prompts(study: Path, tmp_path: Path, suffix: str) -> None:
    rows = cells(sheet(study, tmp_path / f"sheet{suffix}", 9))
    assert {frozenset(row) for row in rows} == {frozenset({"prompt", "prompt_id", "response", "score"})}
    assert {row["score"] for row in rows} <= {"", None}
    texts = {prompt.prompt_id: prompt.conversation[0].content for prompt in PROMPTS}
    assert all(row["prompt"] == texts[row["prompt_id"]] for row in rows)
    chosen = {row["prompt_id"] for row in rows}
    assert len(chosen) == 9
    asked = {key for key in stored_gold(study) if key[0] in chosen}
    assert {answer_key(row["prompt_id"], row["response"]) for row in rows} == asked
    assert len(asked) == len(rows) == 2 * 9 * len(STEPS)


def test_the_order_of_a_sheet_says_nothing_of_steps(study: Path, tmp_path: Path) -> None:
    from scipy.stats import kendalltau

    steps = [int(row["response"].split()[-1].strip('"')) for row in cells(sheet(study, tmp_path / "sheet.jsonl"))]
    assert abs(kendalltau(steps, range(len(steps))).statistic) < 0.1


def test_an_answer_given_twice_is_asked_once(study: Path) -> None:
    run = study / "rl-seed0"
    store(run, [replace(row, response="the the the") for row in read_samples(run)])
    rows = label_sheet(study).rows
    assert sum(row.response == "the the the" for row in rows) == len(PROMPTS)


def test_a_smaller_sheet_is_part_of_a_larger(study: Path) -> None:
    small, large = (set(label_sheet(study, n_prompts=n).rows) for n in (8, 12))
    assert small < large


def test_runs_measured_on_different_prompts_share_some_in_the_sheet(study: Path) -> None:
    run = study / "rl-seed1"
    known = {prompt.prompt_id for prompt in PROMPTS[:10]}
    store(run, [row for row in read_samples(run) if row.prompt_id in known])
    assert {row.prompt_id for row in label_sheet(study).rows} == known


def test_no_cell_of_a_csv_sheet_is_a_formula(study: Path, tmp_path: Path) -> None:
    for row in cells(sheet(study, tmp_path / "sheet.csv")):
        assert not any(value.lstrip()[:1] in {"=", "+", "-", "@"} or "\n" in value for value in row.values())


@pytest.mark.parametrize(
    ("suffix", "dialect"), [(".csv", {}), (".csv", {"delimiter": ";"}), (".csv", {"delimiter": "\t"}), (".jsonl", {})]
)
def test_a_filled_sheet_gives_the_onset_of_the_gold_it_was_copied_from(
    study: Path, tmp_path: Path, suffix: str, dialect: dict[str, str]
) -> None:
    filled = fill(sheet(study, tmp_path / f"sheet{suffix}"), stored_gold(study).get, **dialect)
    own = summarise_study(study)
    found = summarise_study(study, labels=read_labels([filled]))
    assert [run.with_gold.games for run in found.runs] == [True, True]
    assert replace(found, labelled=None) == own


def test_quotes_that_a_spreadsheet_drops_are_not_missed(study: Path, tmp_path: Path) -> None:
    path = fill(sheet(study, tmp_path / "sheet.csv"), stored_gold(study).get)
    assert "\"'=1+1" in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace("\"'", '"'), encoding="utf-8")
    labelled = summarise_study(study, labels=read_labels([path])).labelled
    assert labelled is not None
    assert (labelled.n_answers, labelled.unmatched) == (2 * len(PROMPTS) * len(STEPS), 0)


def test_partial_labels_use_whole_prompts_alone(study: Path, tmp_path: Path) -> None:
    gold = stored_gold(study)
    whole = {prompt.prompt_id for prompt in PROMPTS[:10]}
    first = {answer_key(row.prompt_id, row.response) for row in gaming_rows(0) if row.step == 0}

    def some(key: tuple[str, str]) -> float | None:
        return gold[key] if key[0] in whole or key in first else None

    labels = read_labels([fill(sheet(study, tmp_path / "sheet.csv"), some)])
    found = summarise_study(study, labels=labels)
    assert any("rl-seed0: gold is told on the 10 prompts" in note and "14 others" in note for note in found.notes)
    for run, seed in zip(found.runs, (0, 1), strict=True):
        alone = gold_onset(Curves([row for row in read_samples(study / f"rl-seed{seed}") if row.prompt_id in whole]))
        assert replace(run.with_gold, left_out=0) == alone
        assert run.fit is not None
        assert run.fit.n_prompts == 10
        assert {one.prompt_id for one in run.examples} <= whole
    assert found.runs[0].points[0].gold == pytest.approx(
        np.mean([row.gold for row in gaming_rows(0) if row.step == 0 and row.prompt_id in whole]), abs=1e-3
    )


def test_prompts_without_gold_have_no_say_in_the_gap() -> None:
    """Their proxy would hide the run's: it falls where the others' climbs."""
    whole = {prompt.prompt_id for prompt in PROMPTS[:12]}
    rows = [row if row.prompt_id in whole else replace(row, proxy=-5 * row.proxy, gold=NAN) for row in gaming_rows(0)]
    found = gold_onset(Curves(rows))
    assert found.games
    assert (found.n_prompts, found.left_out) == (12, 12)
    assert replace(found, left_out=0) == gold_onset(Curves([row for row in rows if row.prompt_id in whole]))


def test_too_few_whole_prompts_decide_nothing(study: Path, tmp_path: Path) -> None:
    gold, seven = stored_gold(study), {prompt.prompt_id for prompt in PROMPTS[:7]}
    labels = read_labels([fill(sheet(study, tmp_path / "s.csv"), lambda key: gold[key] if key[0] in seven else None)])
    found = summarise_study(study, labels=labels).runs[0]
    assert found.with_gold.games is None
    assert "only 7 of 24 prompts have gold at every measured step; 8 are needed" in found.with_gold.reason
    assert (found.fit, found.best_step) == (None, None)


def test_constant_labels_are_named(study: Path, tmp_path: Path) -> None:
    labels = read_labels([fill(sheet(study, tmp_path / "sheet.csv"), lambda _: 3.0)])
    assert any("gold is constant" in note for note in summarise_study(study, labels=labels).notes)


def test_labels_change_nothing_that_is_stored(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.overopt.report.FIGURES", {})  # they take seconds, and are drawn in the next test
    filled = fill(sheet(study, tmp_path / "sheet.csv"), lambda _: 3.0)
    write_overopt_report(study)
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    invoke("--out", study.parent, "--labels", filled)
    assert {path: path.read_bytes() for path in before} == before
    assert (study / "overopt-labels.html").exists()
    assert (study / "summary-labels.json").exists()


def test_sheet_and_analysis_need_no_model(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was made")

    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    path = tmp_path / "new" / "sheet.csv"
    made = json.loads(invoke("--out", out, "--label-sheet", path, "--label-prompts", 8, "--json").stdout)
    assert made == {"answers": 2 * 8 * len(STEPS), "prompts": 8, "runs": 2, "sheet": str(path)}
    fill(path, stored_gold(out / "overopt").get)
    shown = invoke("--out", out, "--labels", path).output
    assert f"gold: human labels of {2 * 8 * len(STEPS)} answers to 8 prompts, by one labeller" in shown
    page = (out / "overopt" / "overopt-labels.html").read_text(encoding="utf-8")
    assert "Gold: human labels of 192 answers to 8 prompts" in page
    assert json.loads((out / "overopt" / "summary-labels.json").read_text())["labelled"]["n_answers"] == 192


def test_the_campaign_file_says_where_the_runs_lie(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text(f"out = {json.dumps(str(out))}\ndata.world = 'docs'\n")
    counted = json.loads(invoke(file, "--label-sheet", tmp_path / "s.csv", "--dry-run", "--json").stdout)
    assert (counted["answers"], counted["sheet"]) == (2 * len(PROMPTS) * len(STEPS), None)
    assert not (tmp_path / "s.csv").exists()


def test_several_labellers_are_averaged_and_their_agreement_told(study: Path, tmp_path: Path) -> None:
    gold = stored_gold(study)
    first = fill(sheet(study, tmp_path / "first.csv"), gold.get)
    second = fill(sheet(study, tmp_path / "second.jsonl"), lambda key: gold[key] + 1)
    labels = read_labels([first, second])
    key = next(iter(gold))
    assert labels.scores[key] == pytest.approx(gold[key] + 0.5)
    labelled = summarise_study(study, labels=labels).labelled
    assert labelled is not None
    assert labelled.agreement is not None
    assert (labelled.n_labellers, labelled.agreement.n_answers) == (2, len(gold))
    assert labelled.agreement.tau == pytest.approx(1)
    assert "by 2 labellers; Kendall's τ-b between two of them 1.00" in labelled.text


def test_agreement_is_counted_only_where_it_can_be_told() -> None:
    keys = [("p", str(n)) for n in range(10)]
    up = {key: float(n) for n, key in enumerate(keys)}
    down = {key: -value for key, value in up.items()}
    found = agreement({"a": up, "b": down, "c": dict.fromkeys(keys, 3.0), "d": {keys[0]: 1.0}})
    assert found is not None
    assert (found.tau, found.n_pairs, found.n_answers) == (pytest.approx(-1), 1, 10)
    assert agreement({"a": up}) is None
    assert agreement({"a": up, "d": dict(list(up.items())[:7])}) is None


def test_one_file_may_hold_several_labellers(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    given = [("ann", 1), ("bob", 5), ("bob", "3"), ("", 9)]
    rows = [{"prompt_id": "p", "response": "x", "labeller": who, "score": score} for who, score in given]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = read_labels([path])
    assert {who: list(scores.values()) for who, scores in labels.by_labeller.items()} == {
        "ann": [1], "bob": [4], str(path): [9],
    }  # fmt: skip
    assert labels.scores == {("p", "x"): pytest.approx((1 + 4 + 9) / 3)}


HEAD = "prompt,response,score,prompt_id\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "none of its 0 rows has a score"),
        (b"prompt,response,prompt_id\nq,a,p\n", "line 2: no column 'score' among prompt, response, prompt_id"),
        (f"{HEAD}q,a,4,p\nq,b,good,p\n".encode(), "line 3: score 'good' is no number"),
        (f"{HEAD}q,a,nan,p\n".encode(), "line 2: score 'nan' is no number"),
        (f"{HEAD}q,a,,p\n".encode(), "none of its 1 rows has a score"),
        (f"{HEAD}q,a,4\n".encode(), "line 2: prompt_id is None"),
        (f"{HEAD}q,\xe9,4,p\n".encode("latin-1"), "not UTF-8"),
        (f"{HEAD}q,a,4,p\n".encode(), "none of the 1 labelled answers is among the 576 stored ones"),
    ],
)
def test_a_sheet_that_cannot_be_used_is_named(out: Path, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "sheet.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        invoke("--out", out, "--labels", path)
    assert not (out / "overopt" / "overopt-labels.html").exists()


def test_json_lines_are_named_too(tmp_path: Path) -> None:
    path = tmp_path / "sheet.jsonl"
    path.write_text(
        '{"prompt_id": "p", "response": "x", "score": 1}\n{"prompt_id": "p", "response": "x", "score": true}\n'
    )
    with pytest.raises(DataError, match="line 2: score True is no number"):
        read_label_file(path)


def test_labels_of_other_runs_are_counted_and_left_out(study: Path, tmp_path: Path) -> None:
    filled = fill(sheet(study, tmp_path / "sheet.jsonl"), stored_gold(study).get)
    shutil.rmtree(study / "rl-seed1")
    found = summarise_study(study, labels=read_labels([filled]))
    assert (
        f"{len(PROMPTS) * len(STEPS)} labelled answers are not among the stored ones, and count nothing" in found.notes
    )


def test_a_sheet_that_exists_is_never_overwritten(out: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("hours of work")
    with pytest.raises(ConfigError, match="exists already"):
        invoke("--out", out, "--label-sheet", path)
    assert path.read_text() == "hours of work"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label-sheet", "s.xlsx"), ".csv or .jsonl"),
        (("--label-sheet", "s.csv", "--label-prompts", 7), "8 are needed"),
        (("--label-sheet", "s.csv", "--label-prompts", 25), "share 24 prompts; 25 were asked for"),
        (("--label-sheet", "s.csv", "--labels", "t.csv"), "give one of the two"),
        (("--label-prompts", 8), "give --label-sheet"),
        (("--labels", "t.csv", "--dry-run"), "leave --dry-run out"),
        (("--label-sheet", "s.csv", "--round", 1), "overopt-round1 holds no measured answers"),
    ],
)
def test_options_that_cannot_be_met_are_refused(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RmMinerError, match=message):
        invoke("--out", out, *options)
    assert not list(tmp_path.glob("s.*"))


def test_without_a_folder_the_fix_is_named() -> None:
    with pytest.raises(ConfigError, match="--out FOLDER"):
        invoke("--label-sheet", "s.csv")


def test_runs_that_share_no_prompt_are_named(study: Path) -> None:
    halves = {"rl-seed0": PROMPTS[:12], "rl-seed1": PROMPTS[12:]}
    for name, prompts in halves.items():
        known = {prompt.prompt_id for prompt in prompts}
        store(study / name, [row for row in read_samples(study / name) if row.prompt_id in known])
    with pytest.raises(DataError, match="share none"):
        label_sheet(study)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_run_stores_the_prompts_it_was_measured_on(
    toy_run: Callable[..., RlRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run(name="overopt/rl", steps=2)
    run.run()
    assert read_asked(run.folder) == {one.prompt_id: one.conversation for one in run.examination.prompts}
    rows = label_sheet(tmp_path / "overopt").rows
    assert (
        {row.response for row in rows}
        == {row.response.strip() for row in rows}
        == {row.response for row in read_samples(run.folder)}
    )
    (run.folder / ASKED).unlink()
    with pytest.raises(DataError, match="older version"):
        label_sheet(tmp_path / "overopt")
    monkeypatch.setattr(RlRun, "_train", None)
    run.run()
    assert label_sheet(tmp_path / "overopt").rows == rows


def test_stored_prompts_that_cannot_be_read_are_named(study: Path) -> None:
    (study / "rl-seed0" / ASKED).write_text('{"prompt_id": "p"}\n')
    with pytest.raises(DataError, match=r"cannot read .*prompts\.jsonl"):
        label_sheet(study)
