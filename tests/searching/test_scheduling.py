"""The scheduler spends where findings come cheapest, and decides the same after a restart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus.records import Attempt, Finding, Message, digest
from miner.campaigns.campaign import Campaign
from miner.config.campaign import AttackSection, ScheduleSection
from miner.errors import ConfigError
from miner.searching.driver import Driver
from miner.searching.scheduling import Arm, Choice, Scheduler, Yield, difficulty_groups, require_schedulable
from miner.testing import toy_prompts
from tests.campaigns.configs import config_for

PROMPTS = toy_prompts(30)
RATES = {"good": 1 / 100, "middling": 1 / 600, "bad": 1 / 20_000}  # findings a query


def scheduler(policy: str, total: int = 40_000, seed: int = 0, **options: Any) -> Scheduler:
    return Scheduler(
        section=ScheduleSection(total_queries=total, policy=policy, **options),
        attacks=[AttackSection(name=name) for name in RATES],
        prompts=PROMPTS,
        group_of={prompt.prompt_id: at % 3 for at, prompt in enumerate(PROMPTS)},
        budget_queries=800,
        seed=seed,
    )


def attempt(choice: Choice, queries: int, found: bool) -> Attempt:
    from types import SimpleNamespace

    arm = choice.arm
    name = digest([arm.attack, arm.budget, choice.prompt.prompt_id, choice.number])
    return SimpleNamespace(attempt_id=name, queries=queries, found=found)  # type: ignore[return-value]


def finding(attempt_id: str, text: str, *, form: str = "salad", asked: str = "What is it?") -> Any:
    from types import SimpleNamespace

    prompt = (Message(role="user", content=asked),)
    return SimpleNamespace(
        finding_id=digest([attempt_id, text]), attempt_id=attempt_id, response=text, form=form, prompt=prompt
    )


def simulate(one: Scheduler, rates: dict[str, float] = RATES, same_text: tuple[str, ...] = ()) -> int:
    """Findings of a schedule against attacks that find at constant rates; one kind of attack finds one text only."""
    while choices := one.choose():
        made = []
        for choice in choices:
            rng = np.random.default_rng(
                int(digest([choice.arm.attack, choice.prompt.prompt_id, choice.number])[:8], 16)
            )
            queries = 1 + int(rng.exponential(1 / rates[choice.arm.attack]))
            found = queries <= choice.arm.budget
            done = attempt(choice, min(queries, choice.arm.budget), found)
            text = "the same" if choice.arm.attack in same_text else digest(done.attempt_id)
            made.append((choice, done, [finding(done.attempt_id, text)] if found else []))
        one.learn(made)
    return sum(of_arm.distinct for of_arm in yields(one).values())


def yields(one: Scheduler) -> dict[Arm, Yield]:
    """Of each arm that was tried."""
    return {
        Arm(attack, budget, group): found
        for (attack, budget, group), found in one.yields.items()
        if group is not None and found.queries
    }


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_nearly_as_much_as_the_best_attack_alone_would_and_far_more_than_the_control(seed: int) -> None:
    learned, control = scheduler("thompson", seed=seed), scheduler("uniform", seed=seed)
    found, found_uniformly = simulate(learned), simulate(control)
    assert found > 0.8 * 40_000 * RATES["good"]
    assert found > 2 * found_uniformly


def test_an_attack_that_finds_one_text_over_and_over_is_not_worth_its_queries() -> None:
    one = scheduler("thompson")
    simulate(one, rates={"good": 1 / 100, "middling": 1 / 120, "bad": 1 / 20_000}, same_text=("good",))
    spent: Counter[str] = Counter()
    for arm, of_arm in yields(one).items():
        spent[arm.attack] += of_arm.queries
    assert spent["middling"] > 5 * spent["good"]


def test_the_budget_is_kept_to_a_generation_and_the_first_one_probes_every_attack() -> None:
    one = scheduler("thompson", total=9_000)
    first = one.choose()
    assert {choice.arm.attack for choice in first} == set(RATES)
    assert {choice.arm.group for choice in first} == {0, 1, 2}
    assert {choice.arm.budget for choice in first} == {100}
    simulate(other := scheduler("thompson", total=9_000))
    assert 9_000 - 800 <= other.spent < 9_000 + 800


def test_the_same_history_decides_the_same_whatever_order_it_comes_in() -> None:
    one, other = scheduler("thompson"), scheduler("thompson")
    for _ in range(4):
        choices, again = one.choose(), other.choose()
        assert choices == again
        made = [(choice, attempt(choice, 50, False), ()) for choice in choices]
        one.learn(made)
        other.learn(made[::-1])


def test_no_attempt_is_made_twice() -> None:
    one = scheduler("thompson", total=200_000)
    seen: Counter[tuple[str, str, int]] = Counter()
    while choices := one.choose():
        seen.update((choice.arm.attack, choice.prompt.prompt_id, choice.number) for choice in choices)
        one.learn([(choice, attempt(choice, choice.arm.budget, False), ()) for choice in choices])
    assert max(seen.values()) == 1


def test_attempts_that_have_nothing_to_try_do_not_go_on_for_ever() -> None:
    one = scheduler("thompson", total=5_000)
    generations = 0
    while choices := one.choose():
        one.learn([(choice, attempt(choice, 0, False), ()) for choice in choices])
        generations += 1
        assert generations < 100
    assert generations > 1


def test_every_distinct_finding_of_an_attempt_counts() -> None:
    one = scheduler("thompson")
    (choice, *_) = one.choose()
    done = attempt(choice, 50, True)
    texts = ("one thing that was found", "quite another matter", "one thing that was found")
    one.learn([(choice, done, [finding(done.attempt_id, text) for text in texts])])
    assert yields(one)[choice.arm].distinct == 2


@pytest.mark.parametrize("policy", ["thompson", "uniform"])
def test_one_cause_in_other_words_is_no_other_failure(policy: str) -> None:
    one = scheduler(policy)
    (choice, *_) = one.choose()
    done = attempt(choice, 50, True)
    repeated = [finding(done.attempt_id, f"{word} " * 8, form="repetition") for word in ("file", "digest", "the")]
    questions = ("What does zip do?", "How are threads joined?")
    copied = [finding(done.attempt_id, f"{asked} " * 3, form="structural", asked=asked) for asked in questions]
    salads = [finding(done.attempt_id, text) for text in ("blogs link thank video", "servant nino kindly tutor")]
    one.learn([(choice, done, [*repeated, *copied, *salads])])
    assert yields(one)[choice.arm].distinct == 1 + 1 + 2


def test_the_control_has_the_same_arms() -> None:
    learned, control = scheduler("thompson", total=90_000), scheduler("uniform", total=90_000)
    simulate(learned)
    simulate(control)
    assert set(yields(learned)) <= set(yields(control))
    assert {arm.budget for arm in yields(control)} == {100, 800}


def test_prompts_fall_into_equal_groups_by_what_has_to_be_beaten() -> None:
    rewards = {prompt.prompt_id: float(at) for at, prompt in enumerate(PROMPTS[:24])}
    groups = difficulty_groups(PROMPTS, rewards, 3)
    assert [groups[prompt.prompt_id] for prompt in PROMPTS] == [0] * 8 + [1] * 8 + [2] * 8 + [3] * 6


SCHEDULE = {"prompts": 12, "budget_queries": 60, "schedule": {"total_queries": 1500, "generation": 6, "groups": 2}}


def test_a_campaign_cut_off_goes_on_as_it_would_have(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacks = [
        {"name": "corrupt", "params": {"variants": 4}},
        {"name": "random", "params": {"width": 8}},
        {"name": "transfer", "params": {"n": 8, "width": 4}},
    ]

    def campaign(out: str) -> Campaign:
        config = config_for(tiny_rm_folder, preference_file, tmp_path / out, mine=SCHEDULE, attacks=attacks)
        return Campaign(config)

    class Cut(Exception):
        pass

    whole, cut = campaign("whole"), campaign("cut")
    whole.mine(0)
    made = 0

    run = Driver.run

    def cut_short(driver: Driver, plans: Any) -> Any:
        nonlocal made
        for result in run(driver, plans):
            made += 1
            if made == 10:
                raise Cut
            yield result

    with monkeypatch.context() as patched:
        patched.setattr(Driver, "run", cut_short)
        with pytest.raises(Cut):
            cut.mine(0)
    again = campaign("cut")
    again.mine(0)
    ids = {attempt.attempt_id for attempt in whole.corpus.attempts()}
    assert ids == {attempt.attempt_id for attempt in again.corpus.attempts()}
    assert again.mine(0).made == 0
    findings: list[Finding] = whole.findings()
    assert {f.finding_id for f in findings} == {f.finding_id for f in again.findings()}
    assert any(attempt.budget < 60 for attempt in whole.corpus.attempts())


def test_what_a_scheduler_cannot_choose_among_is_refused() -> None:
    prompts, twice = toy_prompts(3), [AttackSection(name="gcg"), AttackSection(name="gcg", params={"width": 6})]
    with pytest.raises(ConfigError, match="'gcg' is listed 2 times"):
        require_schedulable(twice, prompts)
    with pytest.raises(ConfigError, match="no prompt to mine on"):
        require_schedulable(twice[:1], ())
    with pytest.raises(ConfigError, match="no attack"):
        require_schedulable((), prompts)
    for name in ("carried", "surrogate"):
        with pytest.raises(ConfigError, match=f"{name}' starts from the RM before its patch and cannot be scheduled"):
            require_schedulable([*twice[:1], AttackSection(name=name)], prompts)
    require_schedulable(twice[:1], prompts)


def test_an_attack_on_prompts_together_cannot_be_scheduled(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    attacks = [{"name": "universal", "params": {"prompts": 4}, "budget_queries": 500}]
    campaign = Campaign(config_for(tiny_rm_folder, preference_file, tmp_path, mine=SCHEDULE, attacks=attacks))
    with pytest.raises(ConfigError, match=r"cannot be scheduled\. Leave it out"):
        campaign.mine(0)


def test_a_long_schedule_opens_each_segment_a_fixed_number_of_times(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[Path] = Counter()
    read_bytes = Path.read_bytes

    def counted(path: Path) -> bytes:
        opened[path] += path.suffix == ".parquet"
        return read_bytes(path)

    schedule = {**SCHEDULE, "schedule": {"total_queries": 1200, "generation": 2, "groups": 2}}
    attacks = [{"name": "corrupt", "params": {"variants": 4}}]
    config = config_for(tiny_rm_folder, preference_file, tmp_path, mine=schedule, attacks=attacks, flush_rows=1)
    campaign = Campaign(config)
    monkeypatch.setattr(Path, "read_bytes", counted)
    report = campaign.mine(0)
    segments = {file for table in ("attempts", "findings") for file in (campaign.corpus.path / table).iterdir()}
    assert report.made >= 20  # ten generations of two
    assert len(segments) >= report.made
    assert {opened[file] for file in segments} == {1}


def test_a_choice_among_many_prompts_hashes_none_of_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a choice costs must not grow with the prompts, nor with what was learnt before."""
    from miner.searching import scheduling

    prompts = toy_prompts(2000)
    groups = {prompt.prompt_id: at % 4 for at, prompt in enumerate(prompts)}
    one = Scheduler(
        section=ScheduleSection(total_queries=10**9, generation=8),
        attacks=(AttackSection(name="corrupt"), AttackSection(name="random")),
        prompts=prompts,
        group_of=groups,
        budget_queries=100,
        seed=0,
    )
    first = one.choose()
    hashed: list[object] = []
    monkeypatch.setattr(scheduling, "digest", lambda value: hashed.append(value) or digest(value))
    many = [one.choose() for _ in range(20)]
    chosen = [(choice.arm.attack, choice.prompt.prompt_id, choice.number) for part in (first, *many) for choice in part]
    assert len(set(chosen)) == len(chosen) == 21 * 8, "no prompt twice before every other was tried"
    assert {number for _, _, number in chosen} == {0}
    assert len(hashed) <= 20 + len(prompts), "the generation's seed, and each queue's prompts once"
