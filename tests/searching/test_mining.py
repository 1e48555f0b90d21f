from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from corpus import Corpus
from miner.progress import Silent
from miner.searching.mining import run_plans
from scripts.drills import mining as drill


def test_running_again_makes_nothing_twice(tmp_path: Path) -> None:
    driver, plans, corpus, config = drill.campaign(tmp_path)
    first = run_plans(driver, plans, corpus, config, Silent(), title="t")
    assert (first.made, first.skipped) == (len(plans), 0)
    before = corpus.table("attempts").to_pylist()
    again = run_plans(driver, plans, corpus, config, Silent(), title="t")
    assert (again.made, again.skipped) == (0, len(plans))
    assert corpus.table("attempts").to_pylist() == before


def test_every_find_is_stored_with_its_finding_and_every_prompt(tmp_path: Path) -> None:
    driver, plans, corpus, config = drill.campaign(tmp_path)
    report = run_plans(driver, plans, corpus, config, Silent(), title="t")
    found = {attempt.attempt_id for attempt in corpus.attempts() if attempt.outcome == "found"}
    assert report.found == len(found) > 0
    assert {finding.attempt_id for finding in corpus.findings()} == found
    assert {finding.prompt_id for finding in corpus.findings()} <= {prompt.prompt_id for prompt in corpus.prompts()}
    queries = corpus.queries()
    for attempt in corpus.attempts():
        asked = [row for row in queries if row.attempt_id == attempt.attempt_id]
        assert len(asked) == attempt.queries - 3 * attempt.gradients


def test_what_a_kill_left_of_an_attempt_that_then_found_another_text_is_nobodys(tmp_path: Path) -> None:
    driver, plans, corpus, config = drill.campaign(tmp_path / "whole")
    run_plans(driver, plans, corpus, config, Silent(), title="t")
    finding = corpus.findings()[0]
    killed = Corpus(tmp_path / "killed")
    killed.append(replace(finding, finding_id="left", response="found on another machine"))
    assert [one.finding_id for one in killed.findings()] == ["left"]
    assert killed.settled_findings() == [], "its attempt is not stored yet"
    run_plans(
        driver, [one for one in plans if one.attempt_id == finding.attempt_id], killed, config, Silent(), title="t"
    )
    assert len(killed.table("findings")) == 2
    assert [one.finding_id for one in killed.findings()] == [finding.finding_id]
    report = killed.export("jsonl", tmp_path / "out")
    assert (report.rows, report.overruled) == ({"train": 1}, 0)
    assert [one.finding_id for one in killed.settled_findings()] == [finding.finding_id]


def test_an_interrupt_stores_what_had_ended(tmp_path: Path) -> None:
    driver, plans, corpus, config = drill.campaign(tmp_path)

    class Interrupting(Silent):
        n = 0

        def found(self, finding: object) -> None:
            del finding
            self.n += 1
            if self.n == 3:
                raise KeyboardInterrupt

    slow = config.model_copy(update={"flush_rows": 10_000, "flush_seconds": 1000.0})
    with pytest.raises(KeyboardInterrupt):
        run_plans(driver, plans, corpus, slow, Interrupting(), title="t")
    assert len(Corpus(tmp_path).findings()) == 3


def test_killed_mining_loses_nothing_and_resumes_to_the_same_attempts(tmp_path: Path) -> None:
    result = drill.kill_mining(tmp_path, n=4, seed=0)
    assert (result.rows_lost, result.rows_changed, result.found_without_finding) == (0, 0, 0)
    assert result.same_attempts_as_uninterrupted
    assert result.same_findings_as_uninterrupted
    assert result.orphans == 0
    assert result.kills_in_mining >= 1
