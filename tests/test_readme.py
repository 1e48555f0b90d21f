"""The README: short, in its order, true; its example of an attack runs."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from attacks import Attack
from corpus.records import Finding
from miner.judging.checks import Materials, build_checks, calibrate
from miner.judging.criteria import clean_criteria
from miner.searching.attempts import RoundContext, plan_attempt
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from miner.testing import ToyRewardModel, toy_prompts
from tests.pages import README, blocks, text_of

MAX_LINES = 180
MAX_BYTES = 10 * 1024
MAX_IMAGES = 2
ORDER = ("rmminer", "What a patch does", "Two commands", "Your own reward model", "What counts as a finding", "Attacks",
         "Verbs", "Extend it", "Layout", "Limits")  # fmt: skip


def test_it_is_read_in_five_minutes() -> None:
    text = text_of(README)
    assert len(text.splitlines()) <= MAX_LINES
    assert len(text.encode()) <= MAX_BYTES
    assert len(re.findall(r"^!\[", text, re.MULTILINE)) <= MAX_IMAGES


def test_its_sections_stand_in_their_order() -> None:
    assert tuple(re.findall(r"^#+ (.+)$", text_of(README), re.MULTILINE)) == ORDER


def test_its_attack_finds_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = (block for block in blocks("python") if block.page == README)
    assert len([line for line in example.text.splitlines() if line.strip()]) <= 12
    (tmp_path / "readme_attack.py").write_text(example.text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    kind = import_module("readme_attack").Echo
    assert issubclass(kind, Attack)
    findings = _found_by(kind())
    assert findings
    assert {finding.attack for finding in findings} == {kind.name}
    assert all(len(set(finding.response.split())) == 1 for finding in findings)


def _found_by(attack: Attack) -> list[Finding]:
    """What it finds on three prompts of the toy RM with the checks that need no LM."""
    rm, rng = ToyRewardModel(), np.random.default_rng(1)
    prompts = [replace(prompt, reference=" ".join(rm.words(6, rng))) for prompt in toy_prompts(40)]
    judge = calibrate(build_checks(Materials(), ("construction",)), clean=[])
    driver = Driver(oracle=Oracle(rm=rm), criteria=clean_criteria(rm, prompts, quantile=0.95), certifier=judge)
    context = RoundContext(campaign_id="c", round=0, rm=rm, criteria_hash="h", seed=0)
    plans = [plan_attempt(context, attack, [prompt], seed=n, budget=200) for n, prompt in enumerate(prompts[:3])]
    return [finding for result in driver.run(plans) for finding in result.findings]
