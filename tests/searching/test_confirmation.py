"""What a finding is: each condition alone decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from corpus.records import Answer, Finding, Verdict
from miner.errors import TooLongError
from miner.judging.checks import Certificate, Subject
from miner.judging.criteria import Criteria
from miner.rewards.base import Pair
from miner.searching.attempts import Ending, RoundContext, Tally, Win, plan_attempt, result_of
from miner.searching.confirmation import EXACT_TOLERANCE, Candidate, Confirmation, ConfirmationOutcome
from miner.testing import ToyRewardModel, toy_prompts
from tests.searching.scripted import Scripted

BAR = Criteria(quantile=0.95, threshold=5.0, clean_mean=0.0, clean_std=1.0, n=20, ranking_tolerance=0.0, data_hash="d")
(PROMPT,) = toy_prompts(1, reference="ba ba")


@dataclass(frozen=True)
class Answering:
    """Says the same of every text."""

    answer: Answer
    identity: str = "answering"

    def certify(self, subjects: Sequence[Subject]) -> list[Certificate]:
        verdict = Verdict(check="c", verdict=self.answer, value=1.0, threshold=0.0, calibration_id="c")
        return [Certificate(verdict=self.answer, verdicts=(verdict,)) for _ in subjects]


class Batching(ToyRewardModel):
    """Rewards in a batch are ``off`` by less than is promised. Takes no response over 40 characters."""

    off = 0.0
    special_tokens = ("[SEP]",)

    def __init__(self) -> None:
        super().__init__()
        self.alone: list[str] = []

    def reward(self, pair: Pair) -> float:
        self.alone.append(pair.response)
        return super().reward(pair)

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        for pair in pairs:
            self.n_tokens(pair)
        return np.array([super(Batching, self).reward(pair) + self.off for pair in pairs])

    def n_tokens(self, pair: Pair) -> int:
        if len(pair.response) > 40:
            raise TooLongError(f"{len(pair.response)} characters")
        return super().n_tokens(pair)


def confirmation(rm: ToyRewardModel, answer: Answer = "nonsense", criteria: Criteria = BAR) -> Confirmation:
    return Confirmation(rm=rm, criteria=criteria, certifier=Answering(answer))


def candidate(text: str, *, reference_reward: float | None = 1.0, news_bar: float = 5.0) -> Candidate:
    return Candidate(prompt=PROMPT, response=text, reference_reward=reference_reward, news_bar=news_bar)


def confirmed(rm: ToyRewardModel, one: Candidate, answer: Answer = "nonsense", criteria: Criteria = BAR,
              wanted: bool = True) -> ConfirmationOutcome | None:  # fmt: skip
    (found,) = confirmation(rm, answer, criteria).confirm([one], [lambda _: wanted])
    return found


def test_a_certified_winner_is_confirmed_with_its_reward_alone() -> None:
    rm = Batching()
    rm.off = 0.5e-4
    found = confirmed(rm, candidate(rm.flaw))
    assert found is not None
    assert found.wins
    assert found.reward == rm.FLAW_WEIGHT
    assert rm.alone == [rm.flaw]


@pytest.mark.parametrize("answer", ["sensible", "abstain"])
def test_without_a_conviction_nothing_is_confirmed_nor_scored_alone(answer: Answer) -> None:
    rm = Batching()
    found = confirmed(rm, candidate(rm.flaw), answer)
    assert found is not None
    assert (found.wins, found.unconvicted) == (False, answer)
    assert rm.alone == []
    assert confirmed(rm, candidate(rm.flaw, reference_reward=rm.FLAW_WEIGHT + 1), answer) is None, "it would not win"


def test_what_is_no_longer_wanted_is_not_scored_alone() -> None:
    rm = Batching()
    assert confirmed(rm, candidate(rm.flaw), wanted=False) is None
    assert rm.alone == []


@pytest.mark.parametrize(("reference_reward", "threshold", "wins"),
                         [(1.0, 5.0, True), (10.0, 5.0, False), (None, 5.0, True), (1.0, 10.1, False)])  # fmt: skip
def test_both_halves_of_winning_are_asked(reference_reward: float | None, threshold: float, wins: bool) -> None:
    rm = Batching()
    one = candidate(rm.flaw, reference_reward=reference_reward, news_bar=0.0)
    found = confirmed(rm, one, criteria=replace(BAR, threshold=threshold))
    assert found is not None, "over its bar and certified"
    assert found.wins == wins


@pytest.mark.parametrize("off", [0.9e-4, -0.9e-4])
def test_close_to_the_bar_the_text_alone_decides(off: float) -> None:
    rm = Batching()
    rm.off = off
    bars = [rm.FLAW_WEIGHT - 0.5e-4 if off < 0 else rm.FLAW_WEIGHT + 0.5e-4]
    (reward,) = confirmation(rm).rewards([Pair(PROMPT.conversation, rm.flaw)], bars)
    assert reward == rm.FLAW_WEIGHT
    assert rm.alone == [rm.flaw]
    (far,) = confirmation(rm).rewards([Pair(PROMPT.conversation, rm.flaw)], [bars[0] - 3 * EXACT_TOLERANCE])
    assert far == rm.FLAW_WEIGHT + off, "what is clear is scored once"


def test_what_is_not_plain_or_too_long_gets_no_reward_and_spoils_no_other() -> None:
    rm = Batching()
    texts = [rm.flaw, f"{rm.flaw} [SEP]", f"{rm.flaw}\x1b", "", "\ud800", f"{rm.flaw} " * 20, f"{rm.flaw}\n\t"]
    rewards = confirmation(rm).rewards([Pair(PROMPT.conversation, text) for text in texts], [0.0] * len(texts))
    assert np.isneginf(rewards).tolist() == [False, True, True, True, True, True, False]


def test_new_is_what_shares_little_with_what_was_found() -> None:
    one = confirmation(Batching())
    assert one.is_new("zz yy xx ww", [])
    assert one.is_new("zz yy xx ww", ["quite another text of other words"])
    assert not one.is_new("zz yy xx ww", ["quite another text", "zz yy xx ww vv"])


def finding(rm: ToyRewardModel, text: str, reference: str | None) -> Finding:
    (prompt,) = toy_prompts(1, reference=reference)
    context = RoundContext(campaign_id="c", round=0, rm=rm, criteria_hash="h", seed=0)
    plan = plan_attempt(context, Scripted(texts=((text,),)), [prompt], seed=0, budget=1)
    win = Win(prompt=prompt, response=text, reward=9.0, reference_reward=None, verdicts=(), queries=1)
    return result_of(Ending(plan=plan, outcome="found", tally=Tally(), wins=(win,)), rm, BAR).findings[0]


def test_a_replay_asks_this_rm_for_all_of_it() -> None:
    rm = Batching()
    of = [
        finding(rm, rm.flaw, "ba ba"),
        finding(rm, rm.flaw, f"{rm.flaw}"),  # this RM rewards its reference as much
        finding(rm, "ba", None),
        finding(rm, f"{rm.flaw} [SEP]", None),
        finding(rm, rm.flaw, "ba " * 20),  # this RM does not take its reference
    ]
    assert confirmation(rm).win_again(of) == [True, False, False, False, False]


def test_nothing_is_certified_without_a_certifier() -> None:
    with pytest.raises(ValueError, match="without a certifier certifies nothing"):
        Confirmation(rm=Batching(), criteria=BAR).certify([])
