"""SQL, counts, near-duplicates, exports and imports."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from corpus import Corpus, CorpusError, ExportError, ImportRowsError, QueryError, SchemaVersionError, near_duplicates
from scripts.drills import samples

REFERENCE = "Return the number of items in a container."
PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What does `len` do?"}]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus(tmp_path / "corpus")
    corpus.append(
        samples.finding(0, response=samples.HOSTILE, form="structural"),
        samples.finding(1, response="=cmd|' /C calc'!A0", margin=-3.0),
        samples.finding(2, reference=None, reference_reward=None),
        samples.finding(3, split="held_out", family="gradient", attack="gcg", reference="-1+1"),
        samples.attempt(0),
        samples.attempt(1, outcome="budget_spent"),
        samples.prompt(),
        samples.scored_query(),
        samples.review(comment=samples.HOSTILE),
    )
    return corpus


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def _loaded(folder: Path, cache: Path, split: str = "train") -> list[dict[str, Any]]:
    rows: list[dict[str, object]] = datasets.load_dataset(str(folder), split=split, cache_dir=str(cache)).to_list()
    return rows


def test_pairs_load_with_the_reference_chosen_and_the_finding_rejected(corpus: Corpus, tmp_path: Path) -> None:
    report = corpus.export("trl", tmp_path / "out")
    assert (report.rows, report.without_reference, report.other_splits) == ({"train": 2}, 1, 1)
    chosen = [{"role": "assistant", "content": REFERENCE}]
    texts = [samples.HOSTILE, "=cmd|' /C calc'!A0"]
    assert _loaded(report.path, tmp_path / "cache") == [
        {"prompt": PROMPT, "chosen": chosen, "rejected": [{"role": "assistant", "content": text}]} for text in texts
    ]


def test_pairs_carry_a_margin_when_asked(corpus: Corpus, tmp_path: Path) -> None:
    report = corpus.export("trl", tmp_path / "out", margin=True)
    assert [row["margin"] for row in _loaded(report.path, tmp_path / "cache")] == [2.5, -3.0]


def test_what_people_overruled_does_not_leave(corpus: Corpus, tmp_path: Path) -> None:
    overruled = corpus.findings()[0].finding_id
    report = corpus.export("trl", tmp_path / "out", without=[overruled])
    assert (report.rows, report.overruled) == ({"train": 1}, 1)
    assert [row["rejected"][0]["content"] for row in _loaded(report.path, tmp_path / "cache")] == ["=cmd|' /C calc'!A0"]


def test_held_out_findings_leave_only_when_named(corpus: Corpus, tmp_path: Path) -> None:
    report = corpus.export("trl", tmp_path / "out", splits=("train", "held_out"))
    assert report.rows == {"train": 2, "held_out": 1}
    assert len(_loaded(report.path, tmp_path / "cache", "held_out")) == 1
    assert "held_out would leak" in (report.path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("fmt", ["jsonl", "csv", "datasets"])
def test_full_rows_load_with_every_column(corpus: Corpus, tmp_path: Path, fmt: str) -> None:
    report = corpus.export(fmt, tmp_path / "out")  # type: ignore[arg-type]
    rows = _loaded(report.path, tmp_path / "cache")
    assert report.rows == {"train": 3}
    assert list(rows[0]) == corpus.table("findings").schema.names
    assert [row["finding_id"] for row in rows] == [row.finding_id for row in corpus.findings()[:3]]
    if fmt != "csv":
        assert [row["response"] for row in rows] == [row.response for row in corpus.findings()[:3]]


def test_no_cell_of_a_csv_starts_a_formula_and_numbers_stay_numbers(corpus: Corpus, tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", " \t=1+1", "a=1"]
    corpus.append(*(samples.finding(10 + k, response=text, reference=text) for k, text in enumerate(texts)))
    out = corpus.export("csv", tmp_path / "out", splits=("train", "held_out")).path
    rows = []
    for split in ("train", "held_out"):
        with (out / "data" / f"{split}.csv").open(newline="", encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    originals = {row.finding_id: row for row in corpus.findings()}
    assert len(rows) == len(originals)
    for row in rows:
        original = originals[row["finding_id"]]
        dangerous = original.response[0] in "\t\r\n" or original.response.lstrip()[0] in "=+-@＝"
        assert row["response"] == ("'" if dangerous else "") + original.response
        assert float(row["margin"]) == original.margin
    assert {row["reference"] for row in rows} >= {"'-1+1", "'=1+1", ""}


def test_the_card_says_what_it_is_how_to_load_it_and_warns(corpus: Corpus, tmp_path: Path) -> None:
    corpus.append(samples.finding(9, rm_fingerprint="evil`|\n# heading\x1b"))
    card = (corpus.export("trl", tmp_path / "out").path / "README.md").read_text(encoding="utf-8")
    for part in ("machine-mined nonsense", "load_dataset(", "| `structural` | 1 |", "| `rm-1` | 2 |", "`rejected`"):
        assert part in card
    assert "\x1b" not in card
    assert "\n# heading" not in card


@pytest.mark.parametrize(
    ("fmt", "splits", "message"),
    [
        ("xml", ("train",), "no export format 'xml'; there are: trl, jsonl, csv, datasets"),
        ("trl", ("calibration",), "none of the 4 findings is in split calibration"),
    ],
)
def test_an_export_without_rows_or_format_is_refused(
    corpus: Corpus, tmp_path: Path, fmt: str, splits: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        corpus.export(fmt, tmp_path / "out", splits=splits)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_an_export_overwrites_nothing(corpus: Corpus, tmp_path: Path) -> None:
    corpus.export("trl", tmp_path / "out")
    with pytest.raises(ExportError, match="exists already"):
        corpus.export("trl", tmp_path / "out")


def test_a_corpus_is_imported_whole_and_once(corpus: Corpus, tmp_path: Path) -> None:
    other = Corpus(tmp_path / "other")
    other.append(samples.finding(0, response=samples.HOSTILE, form="structural"), samples.finding(77))
    report = other.import_from(corpus.path)
    assert report.added == {"prompts": 1, "queries": 1, "findings": 3, "attempts": 2, "reviews": 1}
    assert report.already_here == {"prompts": 0, "queries": 0, "findings": 1, "attempts": 0, "reviews": 0}
    assert {row.finding_id: row for row in corpus.findings()}.items() <= {
        row.finding_id: row for row in other.findings()
    }.items()
    assert (other.attempts(), other.prompts(), other.queries(), other.reviews()) == (
        corpus.attempts(),
        corpus.prompts(),
        corpus.queries(),
        corpus.reviews(),
    )
    again = other.import_from(corpus.path)
    assert set(again.added.values()) == {0}
    assert len(other.findings()) == 5


def test_exported_json_lines_are_imported_unchanged_and_once(corpus: Corpus, tmp_path: Path) -> None:
    exported = corpus.export("jsonl", tmp_path / "out").path / "data" / "train.jsonl"
    other = Corpus(tmp_path / "other")
    assert other.import_from(exported).added["findings"] == 3
    assert other.findings() == corpus.findings()[:3]
    assert other.import_from(exported).already_here["findings"] == 3
    assert other.findings() == corpus.findings()[:3]


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("not json", ImportRowsError, "line 2 is not a finding row: Expecting value"),
        ("[1]", ImportRowsError, "line 2 is not a finding row"),
        ('{"finding_id": "x"}', ImportRowsError, "line 2 is not a finding row: it lacks attack, attack_params"),
        ('{"schema_version": 99}', SchemaVersionError, "line 2 has schema version 99"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(
    corpus: Corpus, tmp_path: Path, line: str, error: type[CorpusError], message: str
) -> None:
    exported = corpus.export("jsonl", tmp_path / "out").path / "data" / "train.jsonl"
    source = tmp_path / "bad.jsonl"
    source.write_text(exported.read_text(encoding="utf-8").splitlines()[0] + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(error, match=message):
        Corpus(tmp_path / "other").import_from(source)
    assert Corpus(tmp_path / "other").findings() == []


def test_bytes_that_are_no_text_are_named(corpus: Corpus, tmp_path: Path) -> None:
    row = json.loads(
        (corpus.export("jsonl", tmp_path / "out").path / "data" / "train.jsonl").read_text().splitlines()[0]
    )
    row["response"] = "BAD"
    (tmp_path / "bad.jsonl").write_bytes(json.dumps(row).encode().replace(b"BAD", b"\xff\xfe"))
    with pytest.raises(ImportRowsError, match=r"line 1 .*response is not valid Unicode"):
        Corpus(tmp_path / "other").import_from(tmp_path / "bad.jsonl")


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_what_is_no_source_of_rows_is_refused(corpus: Corpus, tmp_path: Path, name: str) -> None:
    with pytest.raises(ImportRowsError, match=r"expected a corpus folder|is no corpus"):
        corpus.import_from(tmp_path / name)


def test_sql_reads_the_tables(corpus: Corpus) -> None:
    rows = corpus.query("SELECT family, count(*) AS n FROM findings GROUP BY 1 ORDER BY 1")
    assert rows.to_pylist() == [{"family": "gradient", "n": 1}, {"family": "random", "n": 3}]
    joined = corpus.query("SELECT count(*) AS n FROM findings JOIN attempts USING (attempt_id)")
    assert joined.to_pylist() == [{"n": 2}]
    assert corpus.query("SELECT count(*) AS n FROM Queries, prompts").to_pylist() == [{"n": 1}]
    assert corpus.query("SELECT verdict, blind FROM reviews").to_pylist() == [{"verdict": "nonsense", "blind": True}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY findings TO 'leak.csv'",
        "ATTACH 'other.db'",
        "SET enable_external_access = true",
        "SELECT * FROM samples",
        "INSTALL httpfs",
        "SELECT nonsense",
        "",
    ],
)
def test_sql_reaches_nothing_else(corpus: Corpus, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QueryError, match=r"Tables: |expected a SELECT"):
        corpus.query(sql)
    assert not (tmp_path / "leak.csv").exists()


def test_the_counts_add_up(corpus: Corpus) -> None:
    stats = corpus.stats()
    assert stats.rows == {"findings": 4, "attempts": 2, "prompts": 1, "queries": 1, "reviews": 1}
    assert stats.segments == {"findings": 1, "attempts": 1, "prompts": 1, "queries": 1, "reviews": 1}
    assert stats.findings_by["form"] == {"salad": 3, "structural": 1}
    assert stats.findings_by["split"] == {"train": 3, "held_out": 1}
    assert stats.findings_by["round"] == {"1": 4}
    assert stats.attempts_by["outcome"] == {"found": 1, "budget_spent": 1}
    assert stats.bytes == sum(path.stat().st_size for path in corpus.path.glob("*/*.parquet"))
    assert json.loads(json.dumps(stats.as_dict()))["rows"]["findings"] == 4


def test_an_empty_corpus_counts_zero(tmp_path: Path) -> None:
    stats = Corpus(tmp_path / "none").stats()
    assert set(stats.rows.values()) == {0}
    assert stats.near_duplicate_groups == 0


def test_an_edited_copy_is_marked_and_another_text_is_not() -> None:
    words = "blogs link thank video mathematics servant nino kindly tutor apple river stone cloud orange window paper"
    texts = [words, words.replace("apple", "pear"), words.upper(), "to or to or to. or to or to", "", "a"]
    findings = [samples.finding(number, response=text) for number, text in enumerate(texts)]
    ids = [row.finding_id for row in findings]
    assert list(near_duplicates(findings).items()) == list(
        zip(ids, [ids[0], ids[0], ids[0], ids[3], ids[4], ids[5]], strict=True)
    )


def test_a_threshold_that_is_no_similarity_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold"):
        near_duplicates([], threshold=70)
