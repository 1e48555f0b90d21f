"""A run looked through: pages of findings, search, a finding's own page, corpora that grow or are damaged."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Callable, Sequence
from html import unescape
from pathlib import Path

import pytest

from corpus import Corpus, DamagedSegmentError, SchemaVersionError
from corpus.durable import publish_bytes
from corpus.records import Finding
from miner.errors import ConfigError, DataError
from miner.files import replace_table, replace_text
from miner.judging import near_misses
from miner.judging.people_gold import peoples_scores
from miner.measuring.overopt.eval_prompts import store_prompts
from miner.measuring.overopt.log import MEASURES, SAMPLES, samples_table
from miner.measuring.overopt.rows import NAN, SampleRow
from miner.measuring.triage.result import GroupResult, TriageResult
from miner.reviewing import findings_index
from miner.reviewing.attributions import N_STEPS, Attributions
from miner.reviewing.exchange import read_verdicts, write_items
from miner.reviewing.findings_index import ORDERS, Filters, FindingsIndex
from miner.reviewing.gold_items import gold_items
from miner.reviewing.items import ReviewPlan
from miner.reviewing.room import ReviewRoom
from miner.rewards.base import Pair
from miner.testing import ToyRewardModel
from scripts.drills import samples
from tests.reviewing.conftest import Reviewing


def test_findings_are_filtered_searched_and_ordered(reviewing: Reviewing) -> None:
    index, stored = reviewing.room.index, reviewing.room.corpus.findings()
    gcg = index.page(Filters(attack="gcg"), "margin", 0)
    assert [one.margin for one in gcg] == sorted((one.margin for one in stored if one.attack == "gcg"), reverse=True)
    for text in ("COPYTREE", "nino kindly", stored[5].finding_id, "%", "'; DROP TABLE findings; --"):
        page = index.page(Filters(text=text), "newest", 0)
        wanted = [one for one in stored if text.lower() in f"{one.response} {one.reference} {one.prompt[0].content} "
                  f"{one.finding_id}".lower()]  # fmt: skip
        assert {one.finding_id for one in page} <= {one.finding_id for one in wanted}
        assert index.count(Filters(text=text)) == len(wanted)
    html = reviewing.get("/findings?attack=gcg&order=queries").text
    assert html.count('class="card row"') == len(gcg)


def test_pages_of_findings_hold_each_once(reviewing: Reviewing) -> None:
    pages = [reviewing.room.index.page(Filters(), "shortest", number) for number in range(4)]
    assert [len(page) for page in pages] == [50, 50, 20, 0]
    assert len({one.finding_id for page in pages for one in page}) == 120
    assert 'page <data value="3">3</data> of' in reviewing.get("/findings?page=99").text


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize("filters", [Filters(), Filters(text="return"), Filters(attack="gcg", text="e")])
def test_the_pages_of_an_order_are_the_whole_in_that_order(reviewing: Reviewing, order: str, filters: Filters) -> None:
    index, stored = reviewing.room.index, reviewing.room.corpus.findings()
    key: Callable[[Finding], float] = {
        "margin": lambda one: -one.margin, "newest": lambda one: -one.created_at.timestamp(),
        "queries": lambda one: one.queries, "shortest": lambda one: len(one.response),
    }[order]  # fmt: skip
    wanted = [
        one.finding_id
        for one in sorted(stored, key=lambda one: (key(one), one.finding_id))
        if filters.attack in ("", one.attack)
        and filters.text in f"{one.response}|{one.reference}|{one.prompt[0].content}".lower()
    ]
    shown = [one.finding_id for page in range(4) for one in index.page(filters, order, page)]
    assert len(wanted) > 20
    assert shown == wanted
    assert index.count(filters) == len(wanted)


def test_a_search_sees_what_was_published_since_and_many_are_kept_apart(
    reviewing: Reviewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings_index, "EVERY_S", 0.0)
    index, texts = reviewing.room.index, ("needle", "return", "the", "copy", "blogs", "file", "needle")
    counts = [index.count(Filters(text=text)) for text in texts]
    assert counts[0] == counts[-1] == 0
    assert min(counts[1:-1]) > 0
    Corpus(reviewing.room.corpus.path).append(samples.finding(501, response="a Needle in it"))
    index.refresh()
    assert [one.response for one in index.page(Filters(text="needle"), "margin", 0)] == ["a Needle in it"]


def test_a_findings_page_says_all_that_is_known(reviewing: Reviewing) -> None:
    item = reviewing.open(mode="pairs")
    reviewing.answer("left", mode="pairs", comment="<i>so</i>")
    (one,) = reviewing.room.index.findings([item])
    html = unescape(reviewing.get(f"/finding/{item}").text)
    for said in (one.attack, one.rm_fingerprint, one.attempt_id, one.reference, "repeats", "<b>Ann</b>", "“<bdi"):
        assert str(said) in html
    assert "<i>so</i>" in html
    assert "<i>" not in reviewing.get(f"/finding/{item}").text
    assert reviewing.get("/finding/nothing").status_code == 404


def test_what_is_found_meanwhile_is_seen(reviewing: Reviewing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_index, "EVERY_S", 0.0)
    before = reviewing.get("/live").json()["findings"]
    other = Corpus(reviewing.room.corpus.path)
    other.append(samples.finding(500))
    other.compact()
    other.append(samples.finding(500), samples.finding(501, response="a needle in it"))
    assert reviewing.get("/live").json()["findings"] == before + 2
    assert "a needle in it" in reviewing.get("/findings?text=needle").text


def test_a_damaged_corpus_and_a_newer_one_are_one_line(run_folder: Path, serve: Callable[..., Reviewing]) -> None:
    reviewing = serve()
    segment = publish_bytes(run_folder / "corpus" / "reviews", f"{time.time_ns():020d}-{'0' * 32}.parquet", b"rubbish")
    item = reviewing.room.desk("verdicts").items.block(0)[0].item_id
    reply = reviewing.post("/review/verdicts", reviewer="Ann", verdict="nonsense", item=item, showing="1")
    assert reply.status_code == 503
    assert "rmminer corpus verify --quarantine" in reply.text
    segment.unlink()
    assert reviewing.get("/review/verdicts?reviewer=Ann").status_code == 200
    publish_bytes(run_folder / "corpus" / "findings", f"{1:020d}-{'0' * 32}.parquet", b"rubbish")
    with pytest.raises((DamagedSegmentError, SchemaVersionError), match="damaged segment"):
        ReviewRoom(run_folder, ReviewPlan())


def test_a_finding_is_attributed_when_asked_with_the_rm_that_it_fooled(tmp_path: Path) -> None:
    toy, opened = ToyRewardModel(), []

    def open_rm(number: int) -> ToyRewardModel:
        opened.append(number)
        return toy

    texts = [" ".join(toy.vocabulary[n : n + 5]) for n in range(2)]
    mine, other = (samples.finding(n, response=texts[n], rm_fingerprint=toy.fingerprint if not n else "another")
                   for n in range(2))  # fmt: skip
    Corpus(tmp_path / "corpus").append(mine, other)
    room = ReviewRoom(tmp_path, ReviewPlan(controls=0), open_rm=open_rm)
    assert room.about(mine)["attribution"] is None
    assert opened == []
    made = room.attributions.make(mine)
    assert made.values == pytest.approx(toy.attribution(Pair(mine.prompt, mine.response), N_STEPS).values)
    again = ReviewRoom(tmp_path, ReviewPlan(controls=0))
    assert again.about(mine)["attribution"] == made == again.attributions.make(mine)
    assert opened == [mine.round]
    with pytest.raises(ConfigError, match="this finding fooled the RM another; that of round 1 is now"):
        room.attributions.make(other)
    with pytest.raises(ConfigError, match=r"round 1 cannot be opened: no campaign file beside this corpus"):
        again.attributions.make(other)


def test_attributions_are_asked_for_on_a_findings_page(reviewing: Reviewing) -> None:
    one = next(one for one in reviewing.room.corpus.findings() if one.response.isascii() and "the" in one.response)
    path = f"/finding/{one.finding_id}"
    assert "<button>Attribute</button>" in reviewing.get(path).text
    refused = reviewing.post(f"{path}/attribution")
    assert refused.status_code == 400
    assert "cannot be opened" in refused.text
    rm = ToyRewardModel(gives_gradients=False)
    rm.fingerprint = one.rm_fingerprint
    reviewing.room.attributions = Attributions(reviewing.room.run, lambda _round: rm)
    assert "toy gives no gradients" in reviewing.post(f"{path}/attribution").text
    rm.gives_gradients = True
    assert reviewing.post(f"{path}/attribution").status_code == 200
    html = reviewing.get(path).text
    assert 'class="token level0" title="+0.000"' in html
    assert "<button>Attribute</button>" not in html
    assert reviewing.post("/finding/nothing/attribution").status_code == 404


def _attacked(run: Path, rm: str, found: Sequence[bool], *, start: int = 0) -> None:
    """One attempt of gcg on each of several prompts, from that of number ``start`` on."""
    Corpus(run / "corpus").append(
        *(
            samples.attempt(
                n, attempt_id=f"{rm} {start + n}", prompt_ids=(f"p{start + n}",), split="held_out", attack="gcg",
                rm_fingerprint=rm, outcome="found" if one else "budget_spent", finding_ids=(f"{rm} {start + n}",),
            )
            for n, one in enumerate(found)
        )
    )  # fmt: skip


def test_two_runs_are_compared_on_the_prompts_they_share(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    _attacked(one, "rm a", [True] * 30 + [False] * 10)
    _attacked(other, "rm b", [False] * 25 + [True] * 5, start=10)
    for run, rm in ((one, "rm a"), (other, "rm b")):
        Corpus(run / "corpus").append(
            *(samples.finding(n, finding_id=f"{rm} {n}", prompt_id=f"p{n}", rm_fingerprint=rm,
                              response=f"{'both' if n == 3 else rm} <b>") for n in range(4))
        )  # fmt: skip
    room = ReviewRoom(one, ReviewPlan(), against=other)
    (row,) = room.compare("", "")["pair"].attacks
    assert (row.first.value, row.first.n) == (0.75, 40)
    assert (row.second.value, row.second.n) == (pytest.approx(1 / 6), 30)
    assert (row.change.n, row.change.value) == (30, -0.5)
    assert row.change.low < row.change.value < row.change.high < 0
    pair = room.compare("1.rm b", "0.rm a")["pair"]
    assert pair.attacks[0].change.value == -row.change.value
    assert pair.both == [("rm b 3", "rm a 3", "both <b>")]
    assert room.found("rm b 3")
    with pytest.raises(DataError, match="no RM 'rm c' has findings here"):
        room.compare("rm c", "")
    Corpus(one / "corpus").append(samples.review(item_id="rm a 0", verdict="sensible"))
    assert room.compare("", "")["pair"].attacks[0].first.value == pytest.approx(29 / 40)


def test_the_comparison_is_a_page_with_links(serve: Callable[..., Reviewing], run_folder: Path) -> None:
    for rm in {one.rm_fingerprint for one in Corpus(run_folder / "corpus").findings()}:
        _attacked(run_folder, rm, [True, False, True])
    reviewing = serve()
    html = reviewing.get("/compare").text
    assert "Change on shared prompts" in html
    assert "Texts that win against both" in html
    names = re.findall(r'<option value="([^"]+)"', html)
    assert len(names) == 6
    assert reviewing.get(f"/compare?first={names[2]}&second={names[0]}").text.count(" selected") == 2
    assert reviewing.get("/compare?first=nothing").status_code == 400


def _group(name: str, text: str) -> GroupResult:
    return GroupResult(
        group=name, cause=(f"word {text}",), count=3, prompts=2, forms={"salad": 3}, attacks={"gcg": 3}, rounds={0: 3},
        representative=text, representative_id="x", shrink_factor=2.0, reach=None, still_wins=1,
    )  # fmt: skip


def test_groups_are_named_merged_and_settled(serve: Callable[..., Reviewing], run_folder: Path) -> None:
    TriageResult(
        n=6, of=6, shrink_factor=None, one_minimal=None, queries={}, queries_per_finding=0.0, max_queries=1, code="c",
        groups=(_group("g1", "</script>"), _group("g2", "directory")),
    ).write(run_folder)  # fmt: skip
    reviewing = serve()
    for values in (
        {"group": "g1", "verdict": "named", "comment": "Markup <b>"},
        {"group": "g2", "verdict": "merge", "comment": "g1"},
        {"group": "g1", "verdict": "fixed", "comment": ""},
    ):
        assert reviewing.post("/groups", reviewer="Ann", **values).status_code == 200
    html = reviewing.get("/groups?reviewer=Ann").text
    assert "Markup &lt;b&gt;" in html
    assert 'merged into <a href="#group-g1">' in html
    for values in (
        {"group": "g1", "verdict": "merge", "comment": "g1"},
        {"group": "g3", "verdict": "fixed"},
        {"group": "g1", "verdict": "gone"},
    ):
        assert reviewing.post("/groups", reviewer="Ann", **values).status_code == 400
    assert len(reviewing.room.journal.all()) == 3


def _stored_answers(run: Path, *, texts: int = 5) -> list[SampleRow]:
    """Answers of a study against the RM as given, and of one against a patched RM."""
    prompts = [samples.prompt(n) for n in range(2)]
    rows = [SampleRow(step=0, prompt_id=prompt.prompt_id, response=f"answer {n}", **dict.fromkeys(MEASURES, NAN))
            for prompt in prompts for n in range(texts)]  # fmt: skip
    for name, part in (("overopt", rows[::2]), ("overopt-round1", rows[1::2])):
        study = run / name / "rl-0"
        study.mkdir(parents=True)
        replace_text(study / "run.json", "{}")
        replace_table(study / SAMPLES, samples_table(part))
        store_prompts(study, prompts)
    return rows


def test_gold_is_scored_prompt_by_prompt(serve: Callable[..., Reviewing], run_folder: Path) -> None:
    rows = _stored_answers(run_folder)
    reviewing = serve()
    assert "What does `f" in reviewing.get("/review/gold?reviewer=Ann").text
    for score in ("1", "4", "cannot_tell"):
        reviewing.answer(score, mode="gold")
    given = reviewing.room.journal.all()
    assert [one.score for one in given] == [1.0, 4.0, None]
    people = peoples_scores(given)
    assert sorted(people.by_item.values()) == [1.0, 4.0]
    assert len([row for row in rows if people.of(row.prompt_id, row.response)]) == 2
    clusters = [one.cluster for one in gold_items(run_folder, 0)]
    assert len(clusters) == 10
    assert [len({*clusters[:5]}), len({*clusters[5:]})] == [1, 1]


def test_answers_without_findings_can_be_scored(tmp_path: Path) -> None:
    _stored_answers(tmp_path)
    room = ReviewRoom(tmp_path, ReviewPlan())
    room.require_items()
    assert room.desk("gold").items.total == 10
    with pytest.raises(ConfigError, match="no corpus at"):
        ReviewRoom(tmp_path / "overopt", ReviewPlan())


def test_gold_of_a_file_is_any_number(tmp_path: Path) -> None:
    _stored_answers(tmp_path)
    room, path = ReviewRoom(tmp_path, ReviewPlan()), tmp_path / "gold.csv"
    write_items(room, "gold", path)
    with path.open(encoding="utf-8", newline="") as file:
        ids = [row["item_id"] for row in csv.DictReader(file)]
    head = "item_id,reviewer,verdict,score\n"
    path.write_text(f"{head}{ids[0]},Eve,0.25,\n{ids[1]},Eve,,-3\n{ids[2]},Eve,cannot_tell,\n", encoding="utf-8")
    assert read_verdicts(room, "gold", path) == 3
    assert peoples_scores(room.corpus.reviews()).by_item == {ids[0]: 0.25, ids[1]: -3.0}
    path.write_text(f"{head}{ids[3]},Eve,nan,\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2: no verdict 'nan'"):
        read_verdicts(room, "gold", path)


def test_near_misses_are_texts_over_the_bar_that_are_no_findings(tmp_path: Path) -> None:
    found = samples.finding(0)
    corpus = Corpus(tmp_path / "corpus")
    corpus.append(found)
    with pytest.raises(ConfigError, match="keep_queries=true"):
        ReviewRoom(tmp_path, ReviewPlan(controls=0)).desk("near_misses")
    for n, (text, reward) in enumerate([("let go", 9.0), ("too low", 1.0), (found.response, 9.0), ("let go", 9.5)]):
        corpus.append(samples.scored_query(n, prompt_id=found.prompt_id, response=text, reward=reward))
    desk = ReviewRoom(tmp_path, ReviewPlan(controls=0)).desk("near_misses")
    assert [one.texts for one in desk.items.block(0)] == [("let go",)]


def test_of_many_near_misses_those_kept_are_of_all_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_misses, "SQL", near_misses.SQL.replace("20000", "20"))
    corpus, found = Corpus(tmp_path / "corpus"), [samples.finding(n, prompt_id=f"p{n}") for n in range(4)]
    corpus.append(*found)
    corpus.append(
        *(
            samples.scored_query(50 * at + n, prompt_id=one.prompt_id, response=f"let go {n}", reward=9.0 + at)
            for at, one in enumerate(found)
            for n in range(50)
        )
    )
    kept = near_misses.near_misses(corpus)
    assert len(kept) == 20
    assert {one.prompt_id for one in kept} == {"p0", "p1", "p2", "p3"}
    assert near_misses.near_misses(corpus) == kept


def test_an_index_of_nothing_is_empty(tmp_path: Path) -> None:
    index = FindingsIndex(Corpus(tmp_path))
    assert (index.count(), index.page(Filters(), "margin", 0), index.values("attack")) == (0, [], [])
