"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-c", "from miner.cli import main; main()"]


@pytest.fixture
def run(cache: Path, tmp_path: Path) -> Run:
    environment = {**os.environ, "RMMINER_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300
        )

    return call


@pytest.fixture(scope="module")
def mined(tiny_rm_folder: Path, preference_file: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder in which the train split was mined once."""
    out = tmp_path_factory.mktemp("mined")
    environment = {**os.environ, "RMMINER_CACHE": str(cache)}
    command = [*COMMAND, "mine", *mining(tiny_rm_folder, preference_file, out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["found"] > 0
    return out


def mining(rm: Path, data: Path, out: Path) -> list[str]:
    return [
        "--rm", str(rm), "--data", str(data), "--out", str(out), "--attack", "corrupt", "--budget", "60",
        "--prompts", "8", "--dtype", "float32", "--set", "checks.names=['repetition','construction']",
        "--set", "checks.false_alarm=0.05", "--set", "data.fractions=[0.4,0.3,0.3]",
    ]  # fmt: skip


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    *notes, error = done.stderr.strip().splitlines()
    assert error.startswith("rmminer: ")
    assert not any(note.startswith("rmminer: ") for note in notes)
    return error


def test_help_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['rmminer', '--help']\n"
        "from miner.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'transformers', 'pyarrow', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_bad_input_is_one_line_and_status_2(
    run_here: Run, tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": \n')
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    columns = tmp_path / "columns.jsonl"
    columns.write_text('{"subject": "a", "verb": "b"}\n')
    good = ("--rm", tiny_rm_folder, "--data", preference_file)
    assert "no model folder" in one_line(run_here("mine", "--rm", "./nowhere", "--data", preference_file))
    assert "line 2" in one_line(run_here("mine", "--rm", tiny_rm_folder, "--data", broken))
    assert "empty" in one_line(run_here("mine", "--rm", tiny_rm_folder, "--data", empty))
    assert "expected columns" in one_line(run_here("mine", "--rm", tiny_rm_folder, "--data", columns))
    assert "did you mean 'gcg'" in one_line(run_here("mine", *good, "--attack", "gcgg"))
    assert "reference LM" in one_line(run_here("mine", *good, "--set", "checks.names=['fluency']"))
    assert "policy" in one_line(run_here("mine", *good, "--attack", "best_of_n", "--set", "checks.names=['repetition']",
                                    "--set", "checks.quorum=1", "--set", "checks.false_alarm=0.1"))  # fmt: skip
    assert "not a run's folder" in one_line(run_here("report", tmp_path))
    assert "no corpus" in one_line(run_here("corpus", "stats", tmp_path))


def test_dry_run_says_what_would_run_and_writes_nothing(
    run_here: Run, tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "dry"
    done = run_here("cycle", *mining(tiny_rm_folder, preference_file, out), "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [stage["name"] for stage in found["stages"]] == ["evaluate", "mine", "patch", "evaluate"]
    assert found["stages"][1]["queries"] == 8 * 60
    assert found["stages"][0]["attempts"] == 2 * found["stages"][1]["attempts"], "the control beside the attack"
    assert found["queries_per_second"] > 0
    assert found["training_dtype"] in ("float32", "bfloat16")
    assert found["gflops"]["float32"] > 0
    assert not out.exists()


def test_dry_run_of_the_demo_counts_the_training_and_trains_nothing(run_here: Run, cache: Path) -> None:
    trained = set((cache / "docsworld").glob("*-*/"))
    done = run_here("demo", "--quick", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    stages = {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}
    assert {"train rm", "train policy", "evaluate", "mine", "patch"} == set(stages)
    assert all(stage["seconds"] > 0 for stage in stages.values())
    assert set((cache / "docsworld").glob("*-*/")) == trained


def test_dry_run_with_the_built_in_reference_lm_does_not_train_it(
    run_here: Run, tiny_rm_folder: Path, preference_file: Path, cache: Path, tmp_path: Path
) -> None:
    given = ("--rm", tiny_rm_folder, "--data", preference_file, "--reference-lm", "docs", "--out", tmp_path / "out")
    done = run_here("mine", *given, "--prompts", "8", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert [stage["name"] for stage in json.loads(done.stdout)["stages"]] == ["mine"]
    assert not list((cache / "docsworld").glob("reference-lm-*"))


def test_doctor_prints_a_table_and_its_exit_status_says_red(
    run_here: Run, tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    done = run_here(
        "doctor", tiny_rm_folder, "--data", preference_file, "--prompts", "12", "--dtype", "float32", "--json"
    )
    found = json.loads(done.stdout)
    assert done.returncode == (1 if found["counts"]["red"] else 0)
    assert {"loads safely", "padding token", "batch, padded right", "attention", "preference accuracy"} <= {
        one["examination"] for one in found["diagnoses"]
    }
    broken = tmp_path / "broken"
    shutil.copytree(tiny_rm_folder, broken)
    (broken / "model.safetensors").unlink()
    table = run_here("doctor", broken, "--data", preference_file)
    assert table.returncode == 1
    assert "red" in table.stdout
    assert "save_pretrained" in table.stdout
    assert "no model folder" in one_line(run_here("doctor", tmp_path / "nowhere", "--data", preference_file))


def test_bench_replays_a_corpus_and_exits_with_100_over_the_limit(
    run_here: Run, mined: Path, tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    def replay(*more: object) -> subprocess.CompletedProcess[str]:
        return run_here(
            "bench", tiny_rm_folder, "--data", preference_file, "--replay", mined, "--no-suite", "--dtype", "float32",
            "--out", tmp_path / "bench", "--set", "checks.names=['repetition','construction']", "--set",
            "checks.false_alarm=0.05", "--set", "data.fractions=[0.4,0.3,0.3]", *more,
        )  # fmt: skip

    done = replay("--fail-over", "0.05", "--junit", tmp_path / "junit.xml", "--json")
    assert done.returncode == 100, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"][0]["replay"]["value"] == 1.0
    assert found["over_limit"]
    assert "<failure" in (tmp_path / "junit.xml").read_text(encoding="utf-8")
    table = replay()
    assert table.returncode == 0, table.stderr
    assert "100% of" in table.stdout
    assert "no corpus" in one_line(run_here("bench", tiny_rm_folder, "--replay", tmp_path / "nowhere", "--no-suite"))


def test_dry_runs_of_the_corpus_say_what_would_come_of_it_and_change_nothing(
    run_here: Run, mined: Path, tmp_path: Path
) -> None:
    def state() -> set[tuple[Path, int]]:
        return {(path, path.stat().st_mtime_ns) for path in mined.rglob("*") if path.is_file()}

    before = state()
    compacted = json.loads(run_here("corpus", "compact", mined, "--dry-run", "--json").stdout)
    exported = json.loads(run_here("corpus", "export", mined, tmp_path / "pairs", "--dry-run", "--json").stdout)
    imported = run_here("corpus", "import", tmp_path / "new", mined, "--dry-run", "--json")
    assert compacted["segments_before"] >= compacted["segments_after"] >= 1
    assert sum(exported["rows"].values()) > 0
    assert (
        json.loads(imported.stdout)["added"]["findings"]
        == json.loads(run_here("corpus", "query", mined, "select count(*) n from findings", "--json").stdout)[0]["n"]
    )
    assert state() == before
    assert not (tmp_path / "pairs").exists()
    assert not (tmp_path / "new").exists()


def test_a_dry_run_needs_no_hard_links(mined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from miner.cli.corpus_verbs import app

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    before = {path: path.stat().st_mtime_ns for path in mined.rglob("*.*")}
    done = CliRunner().invoke(app, ["compact", str(mined), "--dry-run", "--json"])
    assert json.loads(done.stdout)["segments_before"] >= 1
    assert {path: path.stat().st_mtime_ns for path in mined.rglob("*.*")} == before


def test_mining_again_resumes_and_an_export_loads_as_preference_pairs(
    run: Run, mined: Path, tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    again = run("mine", *mining(tiny_rm_folder, preference_file, mined), "--json")
    report = json.loads(again.stdout)
    assert (report["made"], report["skipped"]) == (0, 8)
    target = tmp_path / "pairs"
    assert run("corpus", "export", mined, target).returncode == 0
    import datasets

    loaded = datasets.load_dataset(str(target), split="train", cache_dir=str(tmp_path / "hf"))
    assert {"prompt", "chosen", "rejected"} <= set(loaded.column_names)
    assert len(loaded) > 0


def test_corpus_verbs_tell_the_same_counts(run: Run, mined: Path) -> None:
    stats = json.loads(run("corpus", "stats", mined, "--json").stdout)
    rows = json.loads(run("corpus", "query", mined, "select count(*) as n from findings", "--json").stdout)
    assert rows == [{"n": stats["rows"]["findings"]}]
    verified = json.loads(run("corpus", "verify", mined, "--json").stdout)
    assert all(segment["state"] == "ok" for segment in verified["segments"])
    assert "nowhere" in run("corpus", "query", mined, "select nonsense from nowhere").stderr


def test_a_damaged_segment_is_named_and_set_aside_on_request(run: Run, mined: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(mined, copy)
    segment = next((copy / "corpus" / "findings").glob("*.parquet"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    assert segment.name in one_line(run("corpus", "stats", copy))
    found = run("corpus", "verify", copy)
    assert found.returncode == 2
    assert segment.name in found.stdout
    assert run("corpus", "verify", copy, "--quarantine").returncode == 0
    assert run("corpus", "stats", copy).returncode == 0


def test_hostile_text_reaches_no_terminal_raw(run: Run, mined: Path) -> None:
    sql = "select chr(27) || ']0;owned' || chr(7) || chr(8238) || '[/x][red]</script>' as t"
    shown = run("corpus", "query", mined, sql).stdout
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "‮" not in shown
    assert "[/x][red]</script>" in shown
    as_json = run("corpus", "query", mined, sql, "--json").stdout
    assert as_json.isascii()


def test_ctrl_c_stores_says_how_to_resume_and_exits_130(
    tiny_rm_folder: Path, preference_file: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "interrupted"
    command = [*COMMAND, "mine", *mining(tiny_rm_folder, preference_file, out), "--attack", "random",
               "--budget", "100000", "--set", "checks.quorum=2", "--set", "flush_seconds=0.5"]  # fmt: skip
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RMMINER_CACHE": str(cache)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    deadline = time.monotonic() + 120
    while not (out / "corpus" / "attempts").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "resume" in stderr
