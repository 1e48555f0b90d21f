"""Reviewing, as people do it: what they are shown, in which order, and what is kept of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from corpus import Corpus, CorpusWriteError
from miner.errors import ConfigError
from miner.judging.reviews import standing
from miner.reviewing.items import ReviewPlan, reviewers_order
from miner.reviewing.room import ReviewRoom
from scripts.drills import samples
from tests.reporting.samples import finding
from tests.reviewing.conftest import Reviewing, item_in, value_of


def test_an_answer_is_in_the_corpus_when_it_is_acknowledged(reviewing: Reviewing, run_folder: Path) -> None:
    first = reviewing.open()
    shown = reviewing.answer("nonsense", comment="soup", seconds="3.25")
    assert shown not in ("", first)
    (review,) = Corpus(run_folder / "corpus").reviews()
    assert (review.reviewer, review.mode, review.item_id, review.verdict) == ("Ann", "verdicts", first, "nonsense")
    assert (review.seconds, review.comment, review.blind, review.shown_order) == (3.25, "soup", True, 1)
    assert review.source == "person"


def test_the_order_is_random_the_same_again_and_each_reviewers_own(run_folder: Path) -> None:
    items = ReviewRoom(run_folder, ReviewPlan(n=60)).desk("verdicts").items
    orders = {name: [one.item_id for one in reviewers_order(items, name, 0)] for name in ("Ann", "Bob", "Ann ")}
    again = ReviewRoom(run_folder, ReviewPlan(n=60)).desk("verdicts").items
    assert [one.item_id for one in reviewers_order(again, "Ann", 0)] == orders["Ann"]
    assert orders["Ann"] != orders["Bob"]
    assert sorted(orders["Ann"]) == sorted(orders["Bob"])
    other = ReviewRoom(run_folder, ReviewPlan(n=60, seed=1)).desk("verdicts").items
    assert {one.item_id for one in reviewers_order(other, "Ann", 1)} != set(orders["Ann"])


def test_a_stated_share_are_controls_half_of_them_good(run_folder: Path) -> None:
    items = list(
        reviewers_order(ReviewRoom(run_folder, ReviewPlan(n=40, controls=0.3)).desk("verdicts").items, "Ann", 0)
    )
    expected = [one.expected for one in items]
    assert (len(items), expected.count("nonsense"), expected.count("sensible")) == (40, 6, 6)
    assert expected != sorted(expected, key=str)


def test_any_beginning_of_the_sample_holds_every_stratum_at_its_share(run_folder: Path) -> None:
    found = ReviewRoom(run_folder, ReviewPlan(n=30, controls=0)).desk("verdicts").items.block(0)
    attacks = [one.finding.attack for one in found if one.finding]
    assert len(attacks) == 30
    assert all(attacks.count(name) in range(5, 11) for name in ("gcg", "best_of_n", "repeats", "policy"))


def test_another_seed_draws_another_sample(run_folder: Path) -> None:
    first, second = (
        {
            one.item_id
            for one in ReviewRoom(run_folder, ReviewPlan(n=30, controls=0, seed=seed)).desk("verdicts").items.block(0)
        }
        for seed in (0, 1)
    )
    assert len(first) == len(second) == 30
    assert len(first & second) <= 15, "of 120 findings; about eight by chance"


@pytest.mark.parametrize("blind", [True, False])
def test_nothing_that_gives_an_item_away_is_shown_before_it_is_judged(
    serve: Callable[..., Reviewing], blind: bool
) -> None:
    reviewing = serve(blind=blind, plan=ReviewPlan(n=60, controls=0))
    html = reviewing.get("/review/verdicts?reviewer=Ann").text
    assert ("threshold" in html) is not blind
    item = item_in(html)
    hidden = reviewing.get(f"/review/verdicts/reveal/{item}?reviewer=Ann")
    assert hidden.status_code == (400 if blind else 200)
    reviewing.answer("nonsense")
    revealed = reviewing.get(f"/review/verdicts/reveal/{item}?reviewer=Ann").text
    assert "Found by" in revealed
    assert "The good answer" in revealed


def test_controls_look_like_anything_else(reviewing: Reviewing) -> None:
    desk = reviewing.room.desk("verdicts")
    kinds = {}
    for item in reviewers_order(desk.items, "Ann", 0):
        html = reviewing.get(f"/review/verdicts?reviewer=Ann&item={item.item_id}").text
        if item.texts[0].replace(" ", "").isalnum() or item.expected:
            kinds[item.expected] = re.sub(r'(value|nonce)="[^"]*"|>[^<]*<', "", html)
    assert len(kinds) == 3
    assert len(set(kinds.values())) == 1


def test_a_session_goes_on_where_it_was_on_another_machine_too(
    serve: Callable[..., Reviewing], run_folder: Path, tmp_path: Path
) -> None:
    reviewing = serve()
    for _ in range(3):
        reviewing.answer("nonsense")
    shown = reviewing.open()
    moved = tmp_path / "moved"
    Corpus(moved / "corpus").import_from(run_folder / "corpus")
    assert serve(moved).open() == shown


def test_a_session_goes_on_in_a_corpus_that_grew(serve: Callable[..., Reviewing], run_folder: Path) -> None:
    plan = ReviewPlan(n=60)
    reviewing = serve(plan=plan)
    while item := reviewing.open():
        reviewing.answer("nonsense", item=item)
    Corpus(run_folder / "corpus").append(*(finding(number) for number in range(120, 132)))
    grown = serve(plan=plan)
    before, after = (
        {one.item_id for one in reviewers_order(room.desk("verdicts").items, "Ann", 0)}
        for room in (reviewing.room, grown.room)
    )
    assert 45 <= len(before & after) < len(before)
    progress = grown.room.desk("verdicts").progress("Ann")
    assert (progress.done, progress.total) == (len(before & after), len(after))
    assert grown.open() in after - before


def test_what_nobody_is_asked_about_builds_no_items(run_folder: Path) -> None:
    items = ReviewRoom(run_folder, ReviewPlan(n=120, until_width=0.01)).desk("verdicts").items
    first, third = items.block(0)[0], "the first of the third block"
    assert items.item(third) is None
    assert len(items._blocks) == 2
    third = items.block(2)[0].item_id
    again = ReviewRoom(run_folder, ReviewPlan(n=120, until_width=0.01)).desk("verdicts").items
    assert again.item(first.item_id)
    assert again.item(third) is None
    assert again.item(third, answered=80)


def test_two_reviewers_judge_the_same_items_and_do_not_get_into_each_others_way(reviewing: Reviewing) -> None:
    total = reviewing.room.desk("verdicts").items.total
    for _ in range(total):
        reviewing.answer("nonsense")
    assert reviewing.open() == ""
    for _ in range(total):
        reviewing.answer("sensible", reviewer="Bob")
    given = standing(reviewing.room.journal.all(), "verdicts")
    by_name = {name: {one.item_id for one in given if one.reviewer == name} for name in ("Ann", "Bob")}
    assert by_name["Ann"] == by_name["Bob"]
    assert len(by_name["Ann"]) == total in range(50, 61)


def test_undo_shows_the_last_item_again_and_rewrites_nothing(reviewing: Reviewing, run_folder: Path) -> None:
    first = reviewing.open()
    reviewing.answer("nonsense")
    reply = reviewing.post("/review/verdicts", reviewer="Ann", verdict="undo")
    assert item_in(reply.text) == first
    reviewing.answer("sensible")
    stored = Corpus(run_folder / "corpus").reviews()
    assert [one.verdict for one in stored] == ["nonsense", "undone", "sensible"]
    assert [one.verdict for one in standing(stored, "verdicts")] == ["sensible"]
    nobody = reviewing.post("/review/verdicts", reviewer="Nobody", verdict="undo")
    assert (nobody.status_code, item_in(nobody.text) != "") == (200, True)


def test_what_is_put_off_comes_again_at_the_end(serve: Callable[..., Reviewing]) -> None:
    reviewing = serve(plan=ReviewPlan(n=6))
    put_off = reviewing.open()
    reviewing.answer("skipped")
    seen = [reviewing.open(), *(reviewing.answer("nonsense") for _ in range(5))]
    assert put_off not in seen[:-1]
    assert seen[-1] == put_off
    assert reviewing.answer("cannot_tell") == ""


def test_what_was_put_off_is_not_revealed_and_an_answer_after_a_reveal_is_not_blind(
    serve: Callable[..., Reviewing], run_folder: Path
) -> None:
    reviewing = serve(plan=ReviewPlan(n=6))
    item = reviewing.open()
    assert "What was it?" not in reviewing.get(f"/review/verdicts?reviewer=Ann&item={item}").text
    reviewing.answer("skipped")
    assert "What was it?" not in reviewing.get("/review/verdicts?reviewer=Ann").text
    revealed = f"/review/verdicts/reveal/{item}?reviewer=Ann"
    assert reviewing.get(revealed).status_code == 400
    reviewing.answer("nonsense", item=item)
    assert [reviewing.get(revealed).status_code for _ in range(2)] == [200, 200]
    reviewing.post("/review/verdicts", reviewer="Ann", verdict="undo")
    assert reviewing.get(revealed).status_code == 400
    later = serve(plan=ReviewPlan(n=6))
    later.answer("sensible", item=item)
    later.answer("nonsense", reviewer="Bob", item=item)
    stored = [one for one in Corpus(run_folder / "corpus").reviews() if one.item_id == item]
    assert [(one.reviewer, one.verdict, one.blind) for one in stored] == [
        ("Ann", "skipped", True),
        ("Ann", "nonsense", True),
        ("Ann", "revealed", True),
        ("Ann", "undone", False),
        ("Ann", "sensible", False),
        ("Bob", "nonsense", True),
    ]
    assert [(one.reviewer, one.verdict) for one in standing(stored, "verdicts")] == [
        ("Ann", "sensible"),
        ("Bob", "nonsense"),
    ]


def test_the_same_answer_sent_twice_is_one(reviewing: Reviewing) -> None:
    html = reviewing.get("/review/verdicts?reviewer=Ann").text
    values = {"item": item_in(html), "showing": value_of("showing", html), "reviewer": "Ann", "verdict": "nonsense"}
    for _ in range(2):
        assert reviewing.post("/review/verdicts", **values).status_code == 200
    assert len(reviewing.room.journal.all()) == 1


def test_a_write_that_fails_is_said_and_nothing_is_taken_for_stored(
    reviewing: Reviewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_records: object) -> None:
        raise CorpusWriteError("cannot write: disk full. Free space and run again")

    shown = reviewing.open()
    with monkeypatch.context() as patched:
        patched.setattr(reviewing.room.corpus, "append", full)
        reply = reviewing.post("/review/verdicts", reviewer="Ann", item=shown, verdict="nonsense", showing="1")
    assert (reply.status_code, "disk full" in reply.text) == (503, True)
    assert reviewing.open() == shown


def test_it_goes_on_until_the_interval_is_narrow(serve: Callable[..., Reviewing]) -> None:
    reviewing = serve(plan=ReviewPlan(n=60, until_width=0.35))
    desk = reviewing.room.desk("verdicts")
    answered = 0
    while item := reviewing.open():
        shown = desk.items.item(item)
        assert shown
        reviewing.answer(shown.expected or "nonsense")
        answered += 1
    found = desk.precision()
    assert found
    assert found.width <= 0.35
    assert 20 <= answered < desk.items.total
    assert "narrow enough" in reviewing.get("/review/verdicts?reviewer=Ann").text


def test_a_width_ends_no_mode_that_has_no_precision(serve: Callable[..., Reviewing]) -> None:
    reviewing = serve(plan=ReviewPlan(n=50, until_width=0.35))
    for _ in range(45):
        assert reviewing.answer("left", mode="pairs")
    page = reviewing.get("/review/pairs?reviewer=Ann").text
    assert 'of <data value="50">50</data>' in page
    assert "interval" not in page


def test_in_a_pair_the_find_stands_on_either_side_and_what_was_meant_is_kept(reviewing: Reviewing) -> None:
    for _ in range(12):
        reviewing.answer("left", mode="pairs")
    given = standing(reviewing.room.journal.all(), "pairs")
    assert {one.side for one in given} == {"left", "right"}
    assert all((one.verdict == "finding") == (one.side == "left") for one in given)
    summary = reviewing.room.summary()
    assert summary
    assert summary.preferred
    assert summary.preferred.n == 12


def test_the_form_works_without_our_script(reviewing: Reviewing) -> None:
    html = reviewing.get("/review/verdicts?reviewer=Ann").text
    values = {"item": item_in(html), "showing": "x", "reviewer": "Ann", "verdict": "sensible"}
    reply = reviewing.client.post("/review/verdicts", data=values, headers={"origin": reviewing.url})
    assert (reply.status_code, reply.history[0].status_code) == (200, 303)
    assert item_in(reply.text) not in ("", values["item"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"verdict": "maybe"}, "no verdict"),
        ({"item": "nothing"}, "not among those asked about"),
        ({"reviewer": "  "}, "visible characters"),
        ({"reviewer": "a\u202eb"}, "visible characters"),
        ({"reviewer": "x" * 61}, "visible characters"),
        ({"seconds": "soon"}, "no number"),
    ],
)
def test_what_cannot_be_taken_is_one_line_and_nothing_is_stored(
    reviewing: Reviewing, values: dict[str, str], said: str
) -> None:
    good = {"reviewer": "Ann", "item": reviewing.open(), "verdict": "nonsense", "showing": "1", "seconds": "1"}
    reply = reviewing.post("/review/verdicts", **{**good, **values})
    assert reply.status_code == 400
    assert said in reply.text
    assert "\n" not in reply.text.strip()
    assert reviewing.room.journal.all() == []


def test_a_name_with_markup_is_a_name(reviewing: Reviewing) -> None:
    name = "<b>Ann</b> & Söhne"
    html = reviewing.post(
        "/review/verdicts", reviewer=name, item=reviewing.open(), verdict="nonsense", showing="1"
    ).text
    assert "&lt;b&gt;Ann&lt;/b&gt; &amp; Söhne" in html
    assert "<b>Ann" not in html + reviewing.get("/").text
    assert reviewing.room.journal.all()[0].reviewer == name


def test_a_run_without_findings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no corpus at"):
        ReviewRoom(tmp_path, ReviewPlan())
    Corpus(tmp_path / "corpus").append(samples.attempt())
    with pytest.raises(ConfigError, match=r"holds no findings to review\. Mine some first"):
        ReviewRoom(tmp_path, ReviewPlan()).desk("verdicts")


def test_without_good_answers_there_are_no_controls_and_that_is_said(tmp_path: Path) -> None:
    Corpus(tmp_path / "corpus").append(*(samples.finding(n, reference=None) for n in range(5)))
    with pytest.raises(ConfigError, match="--controls 0"):
        ReviewRoom(tmp_path, ReviewPlan()).desk("verdicts")
    assert ReviewRoom(tmp_path, ReviewPlan(controls=0)).desk("verdicts").items.total == 5
    with pytest.raises(ConfigError, match="Review verdicts instead"):
        ReviewRoom(tmp_path, ReviewPlan()).desk("pairs")


def test_reviewing_goes_on_while_others_write_and_compact(reviewing: Reviewing, run_folder: Path) -> None:
    elsewhere = Corpus(run_folder / "corpus")
    for number in range(4):
        reviewing.answer("nonsense")
        elsewhere.append(samples.review(number, reviewer="Bob"), samples.finding(900 + number))
        elsewhere.compact()
    assert len(elsewhere.reviews()) == 8
    reviewing.get("/")
    assert len(reviewing.room.journal.all()) == 8
    assert reviewing.room.index.count() in range(120, 125)
