"""Gold of answers: what it says, when it abstains, and what an outage costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from corpus.records import Message
from miner.config.campaign import load_config
from miner.errors import OutageError
from miner.judging.checks import Certifier, Subject, build_checks, calibrate
from miner.judging.checks.base import Materials
from miner.judging.gold import CHUNK, LAST_OUTAGE, Answer, ContrastGold, JudgedGold, RewardGold, gold_floor
from miner.judging.overlap import rouge_l
from miner.measuring.measurement_inputs import gold_of
from miner.progress import Silent
from miner.rewards.base import Pair
from miner.testing import ToyRewardModel
from miner.worlds.docs.world import DocsWorld
from miner.worlds.opening import read_split

GOOD = "Return the current working directory."
ASKED = (Message(role="user", content="What does `os.getcwd` do?"),)
COLLAPSED = "the of " * 30 + "the current working directory"


def answers(*texts: str) -> list[Answer]:
    return [Answer(prompt=ASKED, response=text, reference=GOOD) for text in texts]


class Server:
    """An RM that answers with lengths, and gives none to a batch that ``breaks``."""

    name, fingerprint = "certifier", "f"

    def __init__(self, breaks: Callable[[Sequence[str]], bool]) -> None:
        self.breaks, self.asked = breaks, list[int]()

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        self.asked.append(len(pairs))
        if self.breaks([pair.response for pair in pairs]):
            raise OutageError("no answer")
        return np.array([float(len(pair.response)) for pair in pairs])


NEIGHBOURS = ("Close the file descriptor given.", "Print a traceback to the file.", "Make the parser ready again.")
GOLD = ContrastGold(references=(GOOD, *NEIGHBOURS))


def test_near_gold_knows_order_the_prompt_and_nonsense() -> None:
    said = answers(GOOD, "directory working current the Return", "", NEIGHBOURS[0])
    good, shuffled, nothing, others = (one for one in GOLD.scores(said) if one is not None)
    assert good == pytest.approx(1 - sum(rouge_l(GOOD, one) for one in NEIGHBOURS) / 3)
    assert good > 0.7 > 0.2 > shuffled > nothing == 0.0 > others, "another prompt's answer is worse than none"
    assert GOLD.scores([replace(said[0], nonsense=True)]) == [0.0]


def test_near_gold_compares_with_references_as_long_as_its_own() -> None:
    long = tuple(f"{GOOD} {' and more of it' * n}" for n in range(4, 9))
    gold = ContrastGold(references=(GOOD, *long, *NEIGHBOURS), neighbours=3)
    assert gold.scores(answers(GOOD)) == GOLD.scores(answers(GOOD))


def test_near_gold_abstains_without_a_reference_or_without_another_prompts() -> None:
    bare = [Answer(prompt=ASKED, response="x", nonsense=nonsense) for nonsense in (None, True)]
    assert GOLD.scores(bare) == [None, None]
    assert GOLD.needs_reference
    assert ContrastGold(references=(GOOD,)).scores(answers(GOOD)) == [None]


def test_one_answer_to_every_prompt_earns_nothing_and_references_nearly_all(docs_world: DocsWorld) -> None:
    """What overlap alone gives to a constant is 0.2 and more; the floor says what this gold gives."""
    prompts = docs_world.prompts("held_out")[::10]
    gold = ContrastGold.of(prompts)
    floor = gold_floor(gold, prompts)
    assert floor is not None
    assert abs(floor.chance) < 0.04
    assert floor.constant < 0.05
    text = "Return the value of the object."
    constant = [Answer(prompt=p.conversation, response=text, reference=p.reference) for p in prompts]
    assert abs(float(np.mean([score or 0.0 for score in gold.scores(constant)]))) < 0.03
    assert np.mean([rouge_l(text, str(p.reference)) for p in prompts]) > 0.12
    own = [replace(one, response=str(one.reference)) for one in constant]
    assert float(np.mean([score or 0.0 for score in gold.scores(own)])) > 0.8
    assert gold_floor(gold, prompts[:1]) is None


def test_the_floor_of_a_gold_that_constants_can_earn_says_so(docs_world: DocsWorld) -> None:
    class Overlap:
        name = fingerprint = "overlap"
        needs_reference = True

        def scores(self, said: Sequence[Answer]) -> list[float | None]:
            return [rouge_l(one.response, str(one.reference)) for one in said]

    floor = gold_floor(Overlap(), docs_world.prompts("held_out")[::10])
    assert floor is not None
    assert floor.constant > 0.1 > floor.chance > 0.04


def test_overlap_is_symmetric_and_one_for_the_same_words() -> None:
    assert rouge_l("a b c", "b c d") == rouge_l("b c d", "a b c") == pytest.approx(2 / 3)


def test_near_gold_with_other_references_is_another_gold() -> None:
    assert GOLD.fingerprint == replace(GOLD).fingerprint
    assert (
        len({GOLD.fingerprint, replace(GOLD, neighbours=2).fingerprint, ContrastGold(references=(GOOD,)).fingerprint})
        == 3
    )


@pytest.fixture(scope="module")
def certifier() -> Certifier:
    clean = [
        Subject(response=f"Return number {n} of the {n + 1} files that are open.", prompt=ASKED) for n in range(40)
    ]
    return calibrate(build_checks(Materials(), ["repetition"]), clean, target=0.05)


def test_near_gold_of_what_the_checks_convict_is_nothing(certifier: Certifier) -> None:
    gold = JudgedGold(gold=GOLD, certifier=certifier)
    (collapsed,) = GOLD.scores(answers(COLLAPSED))
    assert collapsed is not None
    assert collapsed > 0.05
    assert gold.scores(answers(COLLAPSED, GOOD)) == [0.0, *GOLD.scores(answers(GOOD))]
    assert gold.name == f"{GOLD.name}, 0 where the checks convict (repetition)"
    assert gold.fingerprint != GOLD.fingerprint
    assert gold.needs_reference


def test_a_verdict_that_is_known_is_not_asked_for_again(certifier: Certifier) -> None:
    known = [replace(one, nonsense=False) for one in answers(COLLAPSED)]
    assert JudgedGold(gold=GOLD, certifier=certifier).scores(known) == GOLD.scores(known)


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
    asked: dict[str, Any] = {"prompt": prompts[0].conversation, "reference": prompts[0].reference}
    good, collapsed = gold.scores([Answer(response=text, **asked) for text in (str(prompts[0].reference), COLLAPSED)])
    assert good is not None
    assert good > 0.7
    assert collapsed == 0
    assert "repetition" in gold.name
    assert gold_of(None, [replace(prompt, reference=None) for prompt in prompts], config, Silent()) is None


def test_a_gold_that_abstains_on_too_much_has_no_floor(docs_world: DocsWorld) -> None:
    server = Server(lambda _: True)
    assert gold_floor(RewardGold(rm=server), docs_world.prompts("held_out")[::50]) is None
