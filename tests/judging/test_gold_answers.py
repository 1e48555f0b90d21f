"""Gold of answers: what it says, when it abstains, and what an outage costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from corpus.records import Message, digest
from miner.config.campaign import load_config
from miner.errors import OutageError
from miner.judging.checks import Judge, Subject, build_checks, calibrate
from miner.judging.checks.base import Materials
from miner.judging.gold import CHUNK, LAST_OUTAGE, Answer, JudgedGold, OverlapGold, RewardGold
from miner.judging.overlap import rouge_l
from miner.measuring.measurement_inputs import gold_of
from miner.progress import Silent
from miner.rewards.base import Pair
from miner.testing import ToyRewardModel
from miner.worlds.opening import read_split

GOOD = "Return the current working directory."
ASKED = (Message(role="user", content="What does `os.getcwd` do?"),)
COLLAPSED = "the of " * 30 + "the current working directory"


def answers(*texts: str) -> list[Answer]:
    return [Answer(prompt=ASKED, response=text, reference=GOOD) for text in texts]


class Server:
    """An RM that answers with lengths, and gives none to a batch that ``breaks``."""

    name, fingerprint = "judge", "f"

    def __init__(self, breaks: Callable[[Sequence[str]], bool]) -> None:
        self.breaks, self.asked = breaks, list[int]()

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        self.asked.append(len(pairs))
        if self.breaks([pair.response for pair in pairs]):
            raise OutageError("no answer")
        return np.array([float(len(pair.response)) for pair in pairs])


def test_overlap_knows_order_and_nonsense() -> None:
    said = answers(GOOD, "directory working current the Return", "")
    assert OverlapGold().scores(said) == [1.0, pytest.approx(0.2), 0.0]
    assert OverlapGold().scores([replace(said[0], nonsense=True)]) == [0.0]


def test_overlap_abstains_without_a_reference_convicted_or_not() -> None:
    bare = [Answer(prompt=ASKED, response="x", nonsense=nonsense) for nonsense in (None, True)]
    assert OverlapGold().scores(bare) == [None, None]
    assert OverlapGold().needs_reference


def test_overlap_is_symmetric_and_one_for_the_same_words() -> None:
    assert rouge_l("a b c", "b c d") == rouge_l("b c d", "a b c") == pytest.approx(2 / 3)


def test_the_fingerprint_of_near_gold_is_that_of_stored_runs() -> None:
    assert OverlapGold().fingerprint == digest(["rouge-l", 2])


@pytest.fixture(scope="module")
def judge() -> Judge:
    clean = [
        Subject(response=f"Return number {n} of the {n + 1} files that are open.", prompt=ASKED) for n in range(40)
    ]
    return calibrate(build_checks(Materials(), ["repetition"]), clean, target=0.05)


def test_near_gold_of_what_the_checks_convict_is_nothing(judge: Judge) -> None:
    gold = JudgedGold(gold=OverlapGold(), judge=judge)
    assert OverlapGold().scores(answers(COLLAPSED)) == [pytest.approx(0.116, abs=1e-3)]
    assert gold.scores(answers(COLLAPSED, GOOD)) == [0.0, 1.0]
    assert gold.name == "overlap with the reference, 0 where the checks convict (repetition)"
    assert gold.fingerprint != OverlapGold().fingerprint
    assert gold.needs_reference


def test_a_verdict_that_is_known_is_not_asked_for_again(judge: Judge) -> None:
    known = [replace(one, nonsense=False) for one in answers(COLLAPSED)]
    assert JudgedGold(gold=OverlapGold(), judge=judge).scores(known) == OverlapGold().scores(known)


def test_a_second_reward_model_serves_as_gold_and_abstains_where_its_reward_is_not_finite() -> None:
    class Holed(ToyRewardModel):
        def reward(self, pair: Pair) -> float:
            return float("nan") if pair.response == "nothing" else super().reward(pair)

    toy = Holed()
    assert RewardGold(rm=toy).scores(answers(toy.flaw, "nothing")) == [toy.FLAW_WEIGHT, None]
    assert RewardGold(rm=toy).scores([]) == []


def test_a_judge_that_is_up_is_asked_once() -> None:
    server = Server(lambda _: False)
    assert RewardGold(rm=server).scores(answers(*("ab" for _ in range(3 * CHUNK)))) == [2.0] * 3 * CHUNK
    assert server.asked == [3 * CHUNK]


def test_an_answer_that_a_judge_cannot_bear_costs_its_chunk_alone() -> None:
    server = Server(lambda texts: "bad" in texts)
    found = RewardGold(rm=server).scores(answers(*("bad" if at == CHUNK + 2 else "ab" for at in range(3 * CHUNK))))
    assert found == [2.0] * CHUNK + [None] * CHUNK + [2.0] * CHUNK


def test_a_judge_that_is_down_abstains_and_is_not_asked_for_ever() -> None:
    server = Server(lambda _: True)
    assert RewardGold(rm=server).scores(answers(*("ab" for _ in range(9 * CHUNK)))) == [None] * 9 * CHUNK
    assert server.asked == [9 * CHUNK] + [CHUNK] * LAST_OUTAGE
    server.asked.clear()
    assert RewardGold(rm=server).scores(answers("ab")) == [None]
    assert server.asked == [1]


def test_measurements_of_policies_have_the_judge_of_a_campaign(preference_file: Path) -> None:
    config = load_config(None, {"data.source": str(preference_file), "rm.source": "none"})
    prompts = read_split(config, "held_out", Silent())
    gold = gold_of(None, prompts, config, Silent())
    assert gold is not None
    asked = {"prompt": prompts[0].conversation, "reference": prompts[0].reference}
    assert gold.scores([Answer(response=text, **asked) for text in (str(prompts[0].reference), COLLAPSED)]) == [1, 0]
    assert "repetition" in gold.name
    assert gold_of(None, [replace(prompt, reference=None) for prompt in prompts], config, Silent()) is None
