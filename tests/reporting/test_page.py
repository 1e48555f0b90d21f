from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corpus import Corpus
from miner.errors import DataError
from miner.reporting import write_report
from miner.reporting.reading import read_run, striking
from miner.reporting.summary import Summary
from miner.safe_text import visible
from scripts.drills import samples
from tests.reporting.html import Node, parse
from tests.reporting.samples import HOSTILE, REFERENCE, finding, summarise, write_run


def page_of(folder: Path, **settings: Any) -> str:
    return write_report(folder, attribution=None, **settings).html.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("run")
    return folder, write_run(folder)


@pytest.fixture(scope="module")
def html(run: tuple[Path, Summary]) -> str:
    return page_of(run[0])


@pytest.fixture(scope="module")
def page(html: str) -> Node:
    return parse(html)


def policy(page: Node) -> dict[str, list[str]]:
    metas = [m for m in page.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert len(metas) == 1
    return {part.split()[0]: part.split()[1:] for part in metas[0].attributes["content"].split(";")}


def sha256(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_policy_lets_in_only_the_pages_own_script_and_style(page: Node) -> None:
    rules = policy(page)
    assert rules["default-src"] == ["'none'"]
    assert rules["img-src"] == ["data:"]
    assert rules["script-src"] == [sha256(node.text) for node in page.all("script")]
    assert rules["style-src"] == [sha256(node.text) for node in page.all("style")]


def test_nothing_inline_that_the_policy_would_have_to_allow(page: Node) -> None:
    nodes = list(page.all())
    assert sum(bool(node.attributes) for node in nodes) > 20
    for node in nodes:
        assert not [name for name in node.attributes if name.startswith("on") or name == "style"]


def test_page_names_no_other_place(page: Node) -> None:
    places = [
        node.attributes[name] for node in page.all() for name in ("src", "srcset", "href") if name in node.attributes
    ]
    assert places
    assert all(place.startswith(("data:", "#")) for place in places)
    assert not [node for node in page.all() if node.tag in ("iframe", "object", "embed", "form", "base")]
    assert "url(" not in next(page.all("style")).text
    assert "@import" not in next(page.all("style")).text


def test_hostile_text_is_shown_in_full_and_does_nothing(html: str, page: Node) -> None:
    shown = {next(row.all("div", class_="text")).text for row in page.all("tr", class_="finding")}
    for text in HOSTILE:
        assert visible(text) in shown
    assert not [char for char in html if visible(char, keep_whitespace=True) != char]
    assert len(list(page.all("script"))) == 1
    assert "<img src=x" not in html
    assert "49" not in {text for text in shown if "7*7" in text}


def test_reach_is_the_summarys_and_its_text_harmless(run: tuple[Path, Summary], page: Node) -> None:
    rows = list(page.all("tr", class_="reach"))
    expected = [row for one in run[1].rounds for row in one.reach]
    assert len(rows) == len(expected) > 0
    for node, row in zip(rows, expected, strict=True):
        assert visible(row.best_response) in node.text
        values = [float(data.attributes["value"]) for data in node.all("data")]
        assert values[:3] == [row.n, row.median_beats_reference, row.median_wins]
        assert row.best_wins.value in values


def test_hostile_text_in_the_summary_is_as_harmless(tmp_path: Path) -> None:
    summary, texts = summarise(rounds=1), HOSTILE
    first = summary.rounds[0]
    attacks = [replace(result, attack=text, family=text) for result, text in zip(first.attacks, texts, strict=False)]
    one = replace(first, attacks=attacks, rm_fingerprint=texts[0], model=texts[1])
    rate = summary.checks["order"].false_alarm
    checks = {text: replace(summary.checks["order"], hit_rate={text: rate}, calibration_id=text) for text in texts}
    facts = {text: [text, {"a": text}] for text in texts}
    replace(
        summary, world=texts[2], command=texts[0], campaign_id=texts[1], data_hash=texts[3], code_version=texts[4],
        created_at=texts[5], checks=checks, rounds=[one], rm=facts, machine=facts, shares=facts,
        seconds=dict.fromkeys(texts, 1.0),
    ).write(tmp_path)  # fmt: skip
    html = page_of(tmp_path)
    page = parse(html)
    assert visible(texts[2]) in next(page.all("h1")).text
    assert all(page.text.count(visible(text)) >= 4 for text in texts)
    assert not [char for char in html if visible(char, keep_whitespace=True) != char]
    assert len(list(page.all("script"))) == 1
    assert not [name for node in page.all() for name in node.attributes if name.startswith("on")]


def test_attack_results_are_the_summarys(run: tuple[Path, Summary], page: Node) -> None:
    expected = []
    for one in run[1].rounds:
        for r in one.attacks:
            quantile = r.beats_quantile
            assert r.beats_reference is not None
            values = [r.found, r.rate, r.low, r.high, r.n, r.median_queries, r.budget]
            values += [r.beats_reference.value, r.beats_reference.low, r.beats_reference.high, r.beats_reference.n]
            values += [quantile.value, quantile.low, quantile.high, quantile.n, *(form.found for form in r.forms)]
            expected.append([value for value in values if value is not None])
    assert sorted(row.numbers for row in page.all("tr", class_="result")) == sorted(expected)


def test_headline_compares_the_first_rm_with_the_last_on_held_out_prompts(
    run: tuple[Path, Summary], page: Node
) -> None:
    rows = {
        row.attributes["data-attack"]: row.numbers
        for row in next(page.all("table", class_="headline")).all("tr")
        if row.numbers
    }
    first, last = (
        {r.attack: r for r in one.attacks if r.split == "held_out"} for one in (run[1].rounds[0], run[1].rounds[-1])
    )
    assert rows == {
        name: [b.budget, b.rate, b.low, b.high, b.n, last[name].rate, last[name].low, last[name].high, last[name].n]
        for name, b in first.items()
    }
    assert "strongest attack, gcg" in next(page.all("p", class_="lead")).text
    assert "After 2 patches the strongest is policy" in next(page.all("p", class_="lead")).text


def test_accuracy_transfer_and_check_errors_are_the_summarys(run: tuple[Path, Summary], page: Node) -> None:
    summary = run[1]
    for row, one in zip(page.all("tr", class_="round"), summary.rounds, strict=True):
        accuracy, change = one.clean_accuracy, one.accuracy_change
        assert accuracy is not None
        assert row.numbers[:4] == [accuracy.value, accuracy.low, accuracy.high, accuracy.n]
        assert change is None or row.numbers[4:8] == [change.value, change.low, change.high, change.n]
        assert one.rm_fingerprint in row.text
    for row, cell in zip(page.all("tr", class_="cell"), summary.transfer, strict=True):
        rate = cell.still_winning
        assert row.numbers == [rate.value, rate.low, rate.high, rate.n]
    shown = [row.numbers[:4] for row in page.all("tr", class_="check")]
    rates = [rate for errors in summary.checks.values() for rate in (errors.false_alarm, *errors.hit_rate.values())]
    assert shown == [[rate.value, rate.low, rate.high, rate.n] for rate in rates]


def test_findings_stand_beside_the_good_answers_they_beat(run: tuple[Path, Summary], page: Node) -> None:
    stored = {visible(one.response): one for one in Corpus(run[0] / "corpus").findings()}
    rows = list(page.all("tr", class_="finding"))
    assert len(rows) == len(stored) == 40
    for row in rows:
        response, reference = (node.text for node in row.all("div", class_="text"))
        one = stored[response]
        assert reference == one.reference
        assert next(row.all("td", class_="scores")).numbers == [
            one.margin,
            one.reward,
            one.reference_reward,
            one.threshold,
        ]
        assert [node.text for node in row.all("span", class_="verdict")] == [v.verdict for v in one.certificate]


def test_identity_of_the_run_is_on_the_page(run: tuple[Path, Summary], page: Node) -> None:
    summary = run[1]
    for fact in (
        summary.command,
        summary.data_hash,
        summary.rounds[0].rm_fingerprint,
        str(summary.seed),
        summary.campaign_id,
    ):
        assert fact in page.text


def test_weak_checks_and_unclear_changes_are_named_as_limits(page: Node) -> None:
    limits = section(page, "limits").text
    assert "Check repeats is weak: it convicts 4% of planted shuffled words" in limits
    assert "Check order is weak" not in limits
    assert "overlap: best_of_n, policy." in limits
    assert "3 of 40 findings are not nonsense" in limits


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize(("abstained", "is_said"), [(5, True), (4, False)])
def test_an_attack_that_came_up_against_the_judge_is_named_as_a_limit(
    abstained: int, is_said: bool, tmp_path: Path
) -> None:
    (one,) = summarise(rounds=1).rounds
    first, *others = one.attacks
    stopped = replace(first, n=20, found=10, abstained=abstained)
    replace(summarise(rounds=1), rounds=[replace(one, attacks=[stopped, *others])]).write(tmp_path)
    said = f"In {abstained} of 10 attempts of {first.attack} without a find (round 0) a text won on which the checks"
    assert (said in section(parse(page_of(tmp_path)), "limits").text) == is_said


def test_three_limits_are_shown_and_the_others_fold(page: Node) -> None:
    shown = next(page.all("ul", class_="limits"))
    (folded,) = section(page, "limits").all("details")
    lines = [node.text for node in shown.all("li")]
    assert len(lines) == 3
    assert "overlap: best_of_n, policy." in lines[0]
    assert "Check repeats is weak" in lines[1]
    assert "No person has read the findings" in lines[2]
    more = [node.text for node in folded.all("li")]
    assert next(folded.all("summary")).text == f"{len(more)} more"
    assert len(more) > 5
    assert not set(more) & set(lines)


def test_the_page_opens_with_finds_beside_the_good_answers_they_beat(run: tuple[Path, Summary], page: Node) -> None:
    shown = list(section(page, "short").all("article", class_="striking"))
    read = read_run(run[0])
    spread = {one.round: one.clean_std for one in read.rounds}
    told = [one for one in read.findings if one.kind == "nonsense" and one.reference_reward is not None]
    most = max(told, key=lambda one: (one.reward - (one.reference_reward or 0)) / spread[one.round])
    attacks = [node.attributes["data-attack"] for node in shown]
    assert attacks[0] == most.attack
    assert len(attacks) == len(set(attacks)) == 3
    assert visible(most.prompt[0].content) in shown[0].text
    assert REFERENCE in shown[0].text


def test_what_people_overruled_is_not_what_a_page_opens_with(tmp_path: Path) -> None:
    write_run(tmp_path, findings=12)
    first = striking(read_run(tmp_path))[0]
    Corpus(tmp_path / "corpus").append(samples.review(item_id=first.finding_id, verdict="sensible"))
    after = striking(read_run(tmp_path))
    assert len(after) == 3
    assert first.finding_id not in {one.finding_id for one in after}


def section(page: Node, name: str) -> Node:
    return next(node for node in page.all("section") if node.attributes.get("id") == name)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"findings": 0, "rounds": 0}, "No attack results were recorded in this run."),
        ({"findings": 0, "rounds": 2}, "This run stored no findings."),
        ({"findings": 5, "rounds": 1}, "The RM was not patched."),
        ({"findings": 5, "rounds": 2, "references": False}, "No reference: the threshold alone decided."),
    ],
)
def test_partial_runs_render(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    write_run(tmp_path, **settings)
    page = parse(page_of(tmp_path))
    assert sentence in " ".join(page.text.split())
    assert len(list(page.all("tr", class_="finding"))) == settings["findings"]


def test_what_was_not_measured_is_said_not_drawn_as_zero(tmp_path: Path) -> None:
    summary = summarise(rounds=2)
    rounds = [replace(one, clean_accuracy=None, accuracy_change=None, contrasts=[]) for one in summary.rounds]
    replace(summary, checks={}, transfer=[], rounds=rounds).write(tmp_path)
    files = write_report(tmp_path, attribution=None)
    assert set(files.plots) == {"survival", "success"}
    page = parse(files.html.read_text(encoding="utf-8"))
    assert "Clean accuracy was not measured." in page.text
    assert page.text.count("Not measured in this run.") == 4


@pytest.mark.usefixtures("no_plots")
def test_no_round_or_attack_vanishes_when_findings_are_many(tmp_path: Path) -> None:
    summarise(rounds=1).write(tmp_path)
    many = [finding(4 * i) for i in range(20)]  # one attack with high margins, and one find each of the others
    many = [replace(one, margin=9.0 + i) for i, one in enumerate(many)]
    Corpus(tmp_path / "corpus").append(*many, finding(101), finding(102), finding(103))
    page = parse(page_of(tmp_path, max_findings=6))
    rows = list(page.all("tr", class_="finding"))
    assert len(rows) == 6
    assert {row.attributes["data-attack"] for row in rows} == {"gcg", "best_of_n", "repeats", "policy"}
    assert "6 of 23 findings" in page.text


@pytest.mark.usefixtures("no_plots")
def test_same_run_gives_the_same_page(tmp_path: Path) -> None:
    write_run(tmp_path, findings=6, rounds=2)
    assert page_of(tmp_path) == page_of(tmp_path)


def test_summary_outside_its_contract_is_refused_with_the_place(tmp_path: Path) -> None:
    path = summarise(rounds=1).write(tmp_path)
    broken = json.loads(path.read_text())
    broken["rounds"][0]["threshold"] = "high"
    path.write_text(json.dumps(broken))
    with pytest.raises(DataError, match=r"rounds\.0\.threshold"):
        write_report(tmp_path, attribution=None)


@pytest.mark.usefixtures("no_plots")
def test_keys_of_a_later_version_are_no_error(tmp_path: Path) -> None:
    path = summarise(rounds=1).write(tmp_path)
    later = json.loads(path.read_text())
    later["rounds"][0]["something_new"] = later["new_too"] = 1
    path.write_text(json.dumps(later))
    assert write_report(tmp_path, attribution=None).html.exists()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
def test_browser_runs_the_script_and_pages_the_table(html: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    command = [
        "chromium",
        *options.split(),
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
    ]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    page = parse(done.stdout)
    rows = list(page.all("tr", class_="finding"))
    assert [row for row in rows if "hidden" not in row.attributes] == rows[:20]
    assert "hidden" not in next(page.all("div", id_="controls")).attributes
    assert next(page.all("output")).text == "1–20 of 40"
