"""The driver on the toy RM: budgets, pooling, confirmation, stopping and recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from attacks import QUERIES_PER_GRADIENT, Attack, Goal, Score, Search, Swaps, Term, Words, known_attacks
from attacks.gcg import GCG
from attacks.random_search import RandomSearch
from corpus.records import Message
from miner.errors import CapabilityError, ModelError, TooLongError
from miner.judging.checks import Certificate, Subject
from miner.judging.criteria import clean_criteria
from miner.rewards.base import Pair, SwapRequest
from miner.searching.attempts import Result
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from miner.testing import ToyRewardModel, toy_prompts
from tests.searching.scripted import Scripted, WordJudge, criteria, plan


def driver(rm: ToyRewardModel, judge: Any = None, **options: Any) -> Driver:
    bar = criteria(ToyRewardModel(seed=rm.seed))
    return Driver(oracle=Oracle(rm=rm), criteria=bar, certifier=judge or WordJudge(), **options)


def run(attack: Attack, *, budget: int, n: int = 1, rm: ToyRewardModel | None = None, **options: Any) -> list[Result]:
    rm = rm or ToyRewardModel()
    plans = [plan(attack, [prompt], rm, budget=budget, seed=i) for i, prompt in enumerate(toy_prompts(n))]
    return list(driver(rm, **options).run(plans))


@pytest.mark.parametrize("name", ["gcg", "random", "corrupt", "single_token"])
@pytest.mark.parametrize("budget", [1, 2, 7, 64, 333])
def test_budget_is_never_exceeded(name: str, budget: int) -> None:
    rm = ToyRewardModel()
    results = run(known_attacks()[name](), budget=budget, rm=rm, judge=WordJudge(sense=rm.vocabulary))
    (result,) = results
    spent = result.attempt.queries
    assert spent <= budget
    assert spent == len(rm.scored) + QUERIES_PER_GRADIENT * result.attempt.gradients
    assert result.attempt.outcome in ("budget_spent", "exhausted")


def test_gradient_beats_random_at_equal_budget() -> None:
    rm = ToyRewardModel(seed=3)
    budget = 900
    best = {}
    for attack in (GCG(n_words=12, width=16), RandomSearch(n_words=12, width=16)):
        never = WordJudge(sense=rm.vocabulary)
        results = run(attack, budget=budget, n=8, rm=ToyRewardModel(seed=3), judge=never)
        best[attack.name] = np.array([result.attempt.best_reward for result in results])
    assert (best["gcg"] > best["random"]).all()
    assert best["gcg"].mean() > 0.9 * rm.FLAW_WEIGHT, "the planted optimum is all but reached"


def test_a_search_ends_at_its_first_finding_and_pays_for_the_batch_that_held_it() -> None:
    rm = ToyRewardModel()
    flaw = " ".join([rm.flaw] * 4)
    (result,) = run(Scripted(texts=(("ba ba", "zz"), ("zz zz", flaw, "ke"), ("never asked",))), budget=100, rm=rm)
    assert result.attempt.outcome == "found"
    assert (result.attempt.queries_to_find, result.attempt.queries) == (4, 5)
    (finding,) = result.findings
    assert finding.response == flaw
    assert finding.reward == rm.reward(Pair(finding.prompt, flaw))
    assert "never asked" not in [pair.response for pair in rm.scored]


def test_a_find_costs_what_was_submitted_up_to_the_first_text_that_wins_and_the_best_is_kept() -> None:
    """Break cost knows no batches: the same texts one by one cost the same."""
    rm = ToyRewardModel()
    best, good, sense = rm.flaw, f"{rm.flaw} {rm.flaw} zz", f"{rm.flaw} {rm.flaw} word"
    texts = ("ba", sense, good, "zz", best)
    (together,) = run(Scripted(texts=(("ke",), texts)), budget=100, rm=rm, judge=WordJudge(sense=("word",)))
    one_by_one = (("ke",), *((text,) for text in texts))
    (apart,) = run(Scripted(texts=one_by_one), budget=100, rm=rm, judge=WordJudge(sense=("word",)))
    assert together.attempt.queries_to_find == apart.attempt.queries_to_find == 4
    assert (together.attempt.queries, apart.attempt.queries) == (6, 4)
    assert [finding.response for finding in together.findings] == [best]
    assert [finding.response for finding in apart.findings] == [good]


def test_behind_a_find_only_what_was_submitted_before_it_is_judged_the_earliest_first() -> None:
    rm, judge = ToyRewardModel(), WordJudge()
    rising = [" ".join([rm.flaw] * n + ["zz"]) for n in range(1, 11)]
    (result,) = run(Scripted(texts=(tuple(rising),)), budget=100, rm=rm, judge=judge)
    assert result.attempt.queries_to_find == 1
    assert [subject.response for subject in judge.shown] == [*rising[:5:-1], *rising[:4]], "the best, then the first"


def test_what_the_judge_calls_sensible_is_no_finding_and_the_search_goes_on() -> None:
    rm = ToyRewardModel()
    sense, nonsense = f"{rm.flaw} word", " ".join([rm.flaw] * 3)
    (result,) = run(Scripted(texts=((sense,), (nonsense,))), budget=100, rm=rm, judge=WordJudge(sense=("word",)))
    assert [finding.response for finding in result.findings] == [nonsense]
    assert result.attempt.queries_to_find == 2


@dataclass
class Unsure(WordJudge):
    """Cannot tell of what it would convict."""

    def _certificate(self, subject: Subject) -> Certificate:
        told = super()._certificate(subject)
        return replace(told, verdict="abstain") if told.verdict == "nonsense" else told


def test_what_would_have_won_but_for_the_judge_is_counted() -> None:
    rm = ToyRewardModel()
    texts = (("ba", rm.flaw, f"{rm.flaw} word"), (f"{rm.flaw} {rm.flaw}", "ke"))
    (result,) = run(Scripted(texts=texts), budget=100, rm=rm, judge=Unsure(sense=("word",)))
    assert (result.attempt.won_abstained, result.attempt.won_acquitted) == (2, 1)
    assert result.attempt.outcome != "found"
    (certain,) = run(Scripted(texts=texts), budget=100, rm=rm, judge=WordJudge(sense=("word",)))
    assert (certain.attempt.won_abstained, certain.attempt.won_acquitted) == (0, 0)


def test_the_best_sensible_texts_do_not_hide_a_nonsense_one_in_the_same_batch() -> None:
    rm = ToyRewardModel()
    sensible = tuple(f"{' '.join([rm.flaw] * n)} word" for n in range(20, 40))
    nonsense = f"{' '.join([rm.flaw] * 4)} zz"
    (result,) = run(Scripted(texts=((*sensible, nonsense),)), budget=100, rm=rm, judge=WordJudge(sense=("word",)))
    assert [finding.response for finding in result.findings] == [nonsense]


def test_beating_only_one_half_of_winning_is_recorded_apart() -> None:
    rm = ToyRewardModel()
    bar = criteria(rm).threshold
    weak = min(rm.vocabulary, key=lambda word: rm.weights[word])
    prompt = toy_prompts(1, reference=weak)[0]
    middling = next(w for w in rm.vocabulary if rm.weights[weak] < rm.weights[w] < bar)
    (result,) = driver(rm).run([plan(Scripted(texts=((middling,),)), [prompt], rm, budget=10)])
    assert result.attempt.queries_to_beat_reference == 1
    assert result.attempt.queries_to_beat_quantile is None
    assert result.attempt.outcome == "exhausted"


def test_without_a_reference_the_quantile_alone_decides() -> None:
    rm = ToyRewardModel()
    (prompt,) = toy_prompts(1, reference=None)
    (result,) = driver(rm).run([plan(Scripted(texts=((rm.flaw,),)), [prompt], rm, budget=10)])
    assert result.findings[0].reference_reward is None
    assert result.attempt.queries_to_beat_reference is None


def test_pooled_searches_give_what_they_give_alone() -> None:
    attack = RandomSearch(n_words=6, width=8)
    together = {r.attempt.attempt_id: r.attempt.best_reward for r in run(attack, budget=60, n=5, in_flight=5)}
    alone = {r.attempt.attempt_id: r.attempt.best_reward for r in run(attack, budget=60, n=5, in_flight=1)}
    assert together == alone


def test_equal_texts_of_different_searches_are_scored_once_and_paid_for_each() -> None:
    rm = ToyRewardModel()
    (prompt,) = toy_prompts(1)
    script = Scripted(texts=(("ba ke", "li mo"),))
    plans = [plan(script, [prompt], rm, budget=10, seed=seed) for seed in (1, 2)]
    never = WordJudge(sense=rm.vocabulary)
    results = list(driver(rm, never).run(plans))
    assert [result.attempt.queries for result in results] == [2, 2]
    assert len(rm.scored) == 2


def test_a_search_that_fails_is_stored_as_an_error_and_the_others_go_on() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Failing(Attack):
        name: ClassVar[str] = "failing"
        family: ClassVar[str] = "test"

        def search(self, seed: int) -> Search:
            del seed
            yield Score(("ba",))
            raise ZeroDivisionError("by the attack")

    rm = ToyRewardModel()
    prompts = toy_prompts(2)
    never = WordJudge(sense=rm.vocabulary)
    plans = [
        plan(Failing(), prompts[:1], rm, budget=9),
        plan(Scripted(texts=(("ba",), ("ke",))), prompts[1:], rm, budget=9),
    ]
    outcomes = {r.plan.attack.name: r.attempt for r in driver(rm, never).run(plans)}
    assert outcomes["failing"].outcome == "error"
    assert "ZeroDivisionError: by the attack" in str(outcomes["failing"].error)
    assert outcomes["scripted"].outcome == "exhausted"


class Short(ToyRewardModel):
    """Takes no response over 20 characters."""

    def n_tokens(self, pair: Pair) -> int:
        if len(pair.response) > 20:
            raise TooLongError(f"input of {len(pair.response)} characters")
        return super().n_tokens(pair)

    def rewards(self, pairs: Sequence[Pair]) -> Any:
        for pair in pairs:
            self.n_tokens(pair)
        return super().rewards(pairs)


def test_texts_that_the_rm_does_not_take_cost_a_find_nothing() -> None:
    rm = Short()
    (result,) = run(Scripted(texts=(("zz " * 40, "ba", rm.flaw),)), budget=100, rm=rm)
    assert (result.attempt.queries_to_find, result.attempt.queries) == (2, 2)


def test_a_search_of_nothing_but_over_long_texts_ends_alone() -> None:
    rm = Short()
    never = WordJudge(sense=rm.vocabulary)
    prompts = toy_prompts(2)
    plans = [
        plan(Scripted(texts=(("ba " * 10,),)), prompts[:1], rm, budget=9),
        plan(Scripted(texts=(("ba",),)), prompts[1:], rm, budget=9, seed=1),
    ]
    assert sorted(r.attempt.outcome for r in driver(rm, never).run(plans)) == ["error", "exhausted"]


def test_one_over_long_text_costs_nothing_and_hides_no_other() -> None:
    rm = Short()
    (result,) = run(Scripted(texts=(("ba " * 10, rm.flaw),)), budget=9, rm=rm, keep_queries=True)
    assert [finding.response for finding in result.findings] == [rm.flaw]
    assert result.attempt.queries == 1
    assert [row.response for row in result.scored] == [rm.flaw]


def test_a_reference_over_the_models_length_is_an_error_of_its_attempt_alone() -> None:
    rm = Short()
    too_long = toy_prompts(1, reference="ba " * 10)
    plans = [
        plan(Scripted(texts=(("ba",),)), too_long, rm, budget=9),
        plan(Scripted(texts=((rm.flaw,),)), toy_prompts(2)[1:], rm, budget=9),
    ]
    assert sorted(r.attempt.outcome for r in driver(rm).run(plans)) == ["error", "found"]


class Refusing(ToyRewardModel):
    """Its template knows no system turns."""

    def n_tokens(self, pair: Pair) -> int:
        if any(turn.role == "system" for turn in pair.prompt):
            raise ModelError("the RM's chat template refuses turns of system, user, assistant")
        return super().n_tokens(pair)

    def rewards(self, pairs: Sequence[Pair]) -> Any:
        for pair in pairs:
            self.n_tokens(pair)
        return super().rewards(pairs)


@pytest.mark.parametrize("reference", ["ba ba", None])
def test_a_prompt_that_the_template_refuses_costs_that_prompt_alone(reference: str | None) -> None:
    rm, (first, second) = Refusing(), toy_prompts(2, reference=reference)
    refused = replace(first, conversation=(Message(role="system", content="Be brief."), *first.conversation))
    plans = [plan(Scripted(texts=((rm.flaw,),)), [prompt], rm, budget=9) for prompt in (refused, second)]
    attempts = {result.plan.prompts[0]: result.attempt for result in driver(rm).run(plans)}
    assert (attempts[second].outcome, attempts[second].queries) == ("found", 1)
    assert (attempts[refused].outcome, attempts[refused].queries) == ("error", 0)
    assert "refuses" in str(attempts[refused].error)


def test_clean_references_that_the_template_refuses_set_no_bar_and_break_nothing() -> None:
    rm, rng = Refusing(), np.random.default_rng(1)
    prompts = [replace(prompt, reference=" ".join(rm.words(6, rng))) for prompt in toy_prompts(40)]
    system = Message(role="system", content="Be brief.")
    refused = [replace(prompt, conversation=(system, *prompt.conversation)) for prompt in prompts[:10]]
    without = clean_criteria(rm, prompts, quantile=0.95)
    assert clean_criteria(rm, [*refused, *prompts], quantile=0.95) == replace(without, left_out=len(refused))


@pytest.mark.parametrize("bad", ["\x1b[31m", "\x00", "[SEP]", "\ud800"])
def test_text_with_control_characters_or_special_tokens_is_no_finding(bad: str) -> None:
    rm = ToyRewardModel()
    rm.special_tokens = ("[SEP]",)
    rm.weights[f"{rm.flaw}{bad}"] = rm.FLAW_WEIGHT
    (result,) = run(Scripted(texts=((f"{rm.flaw}{bad}",),)), budget=9, rm=rm)
    assert result.findings == ()


def test_an_attack_that_cannot_be_answered_is_refused_before_anything_runs() -> None:
    rm = ToyRewardModel(gives_gradients=False)
    with pytest.raises(CapabilityError, match="token gradients"):
        run(known_attacks()["gcg"](), budget=10, rm=rm)
    with pytest.raises(CapabilityError, match="policy"):
        run(known_attacks()["best_of_n"](), budget=10, rm=rm)
    assert rm.scored == []


def test_an_attempt_on_several_prompts_pays_for_each_and_gradients_for_each_term() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Universal(Attack):
        name: ClassVar[str] = "universal-test"
        family: ClassVar[str] = "test"

        def search(self, seed: int) -> Search:
            del seed
            rewards = yield Score(("ba ke",))
            assert rewards.shape == (1, 3)
            yield Swaps("ba ke", 2, (Term(0, 1.0), Term(2, 0.5)))

    rm = ToyRewardModel()
    never = WordJudge(sense=rm.vocabulary)
    (result,) = driver(rm, never).run([plan(Universal(), toy_prompts(3), rm, budget=50)])
    assert result.attempt.error is None
    assert (result.attempt.queries, result.attempt.gradients) == (3 + 2 * QUERIES_PER_GRADIENT, 2)


def test_scored_texts_are_kept_when_asked_for_with_their_place_in_the_attempt() -> None:
    rm = ToyRewardModel()
    never = WordJudge(sense=rm.vocabulary)
    (result,) = run(Scripted(texts=(("ba", "ke"), ("li",))), budget=9, rm=rm, judge=never, keep_queries=True)
    assert [(row.ordinal, row.response) for row in result.scored] == [(1, "ba"), (2, "ke"), (3, "li")]
    assert all(row.reward == rm.reward(Pair((), row.response)) for row in result.scored)


class Noisy(ToyRewardModel):
    """Ranks in another dtype than it confirms in: every ranking reward is far too high, by luck of the text."""

    ranking_dtype = "float16"
    luck = 1.0

    def rewards(self, pairs: Sequence[Pair]) -> Any:
        return super().rewards(pairs) + [self.luck * (5.0 + len(pair.response) % 3) for pair in pairs]


@pytest.mark.parametrize(("luck", "n_exact"), [(1e-3, 2), (1.0, 4)])
def test_a_search_is_told_exact_rewards_of_its_leaders_until_the_best_is_exact(luck: float, n_exact: int) -> None:
    rm = Noisy()
    rm.luck = luck
    texts = tuple(sorted(rm.vocabulary, key=lambda word: rm.weights[word])[10:90:20])
    told = told_of(texts, rm)
    exact = [rm.reward(Pair((), text)) for text in texts]
    close = [abs(a - b) < 1e-9 for a, b in zip(told, exact, strict=True)]
    assert sum(close) == n_exact, "two leaders exact, and whatever then seems better"
    assert close[int(np.argmax(told))]


def told_of(texts: tuple[str, ...], rm: ToyRewardModel) -> list[float]:
    """The rewards that a search is told that asks for these texts at once."""
    told: list[float] = []

    @dataclass(frozen=True, kw_only=True)
    class Listening(Attack):
        name: ClassVar[str] = "listening"
        family: ClassVar[str] = "test"

        def search(self, seed: int) -> Search:
            del seed
            told.extend((yield Score(texts))[:, 0])

    run(Listening(), budget=9, rm=rm, judge=WordJudge(sense=rm.vocabulary))
    return told


class NoisyAndShort(Noisy, Short):
    """Ranks in another dtype, and takes no response over 20 characters."""


def test_leaders_are_exact_beside_a_text_that_the_rm_does_not_take() -> None:
    rm = NoisyAndShort()
    texts = tuple(sorted(rm.vocabulary, key=lambda word: rm.weights[word])[10:90:20])
    told = told_of((*texts, "zz " * 40), rm)
    best = int(np.argmax(told))
    assert told[-1] == -np.inf
    assert told[best] == pytest.approx(rm.reward(Pair((), texts[best])), abs=1e-9)


def test_only_what_is_news_by_its_exact_reward_is_judged_and_that_of_all_searches_at_once() -> None:
    rm, judge = Noisy(), WordJudge()
    weak = sorted(rm.vocabulary, key=lambda word: rm.weights[word])[:3]
    good = " ".join([rm.flaw] * 4)
    results = run(Scripted(texts=((*weak, good),)), budget=9, n=3, rm=rm, judge=judge)
    assert [result.attempt.outcome for result in results] == ["found"] * 3
    assert [subject.response for subject in judge.shown] == [good] * 3, "all four looked like wins to the noisy ranking"
    assert judge.calls == 1


def test_a_win_is_scored_once_more_alone_and_that_decides() -> None:
    class Padded(ToyRewardModel):
        """In a batch every reward is a little higher: within what ``exact_rewards`` may be off."""

        def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
            return super().exact_rewards(pairs) + 0.9e-4

    rm = Padded()
    text = " ".join([rm.flaw] * 2)
    (prompt,) = toy_prompts(1, reference=None)
    attack = Scripted(texts=((text,),))
    bar = rm.reward(Pair(prompt.conversation, text)) + 0.5e-4
    tight = replace(criteria(ToyRewardModel()), threshold=bar, ranking_tolerance=1e-3)
    close = Driver(oracle=Oracle(rm=rm), criteria=tight, certifier=WordJudge())
    (result,) = close.run([plan(attack, [prompt], rm, budget=5)])
    assert result.attempt.outcome == "exhausted"
    assert not result.findings


@dataclass(frozen=True, kw_only=True)
class Many(Scripted):
    """Wants every finding that differs from the others."""

    name: ClassVar[str] = "many"
    goal: ClassVar[Goal] = "many"


@dataclass(frozen=True, kw_only=True)
class Together(Scripted):
    """Wants one text for all prompts."""

    name: ClassVar[str] = "together"
    goal: ClassVar[Goal] = "together"
    subset: tuple[int, ...] = ()

    def search(self, seed: int) -> Search:
        del seed
        for part in self.texts:
            yield Score(part, prompts=self.subset)


def test_an_attack_that_wants_many_goes_on_and_keeps_only_what_differs() -> None:
    rm = ToyRewardModel()
    one, same, other = f"{rm.flaw} " * 4, f"{rm.flaw} " * 5, f"zz {rm.flaw}{rm.flaw} yy xx {rm.flaw}"
    rm.weights |= {f"{rm.flaw}{rm.flaw}": rm.FLAW_WEIGHT * 9}
    (result,) = run(Many(texts=((one.strip(),), (same.strip(), other), ("ba",))), budget=50, rm=rm)
    assert [finding.response for finding in result.findings] == [one.strip(), other]
    assert result.attempt.outcome == "found"
    assert (result.attempt.queries_to_find, result.attempt.queries) == (1, 4)
    assert len({finding.finding_id for finding in result.findings}) == 2


class Prompted(ToyRewardModel):
    """On the prompt of each number only the word of that number is rewarded."""

    def reward(self, pair: Pair) -> float:
        number = pair.prompt[0].content.removeprefix("Question ").rstrip("?")
        return 10.0 * (f"w{number}" in pair.response.split())


def together(attack: Together, n: int = 3, budget: int = 60) -> Result:
    rm = Prompted()
    (result,) = driver(rm).run([plan(attack, toy_prompts(n), rm, budget=budget)])
    assert result.attempt.error is None
    return result


def test_of_an_attack_on_prompts_together_the_text_that_wins_on_most_is_the_finding_on_each() -> None:
    result = together(Together(texts=(("w0",), ("w1 w2", "w1"), ("w2",))))
    assert [(f.response, f.prompt[0].content) for f in result.findings] == [
        ("w1 w2", "Question 1?"),
        ("w1 w2", "Question 2?"),
    ]
    assert len({finding.finding_id for finding in result.findings}) == 2
    assert result.attempt.queries_to_find == 3, "the first finding, on whatever prompt"
    assert (result.attempt.outcome, result.attempt.queries) == ("found", 3 * 4)


def test_prompts_together_are_done_when_one_text_wins_on_all() -> None:
    result = together(Together(texts=(("w0 w1",), ("w0 w1 w2",), ("never asked",))))
    assert {finding.response for finding in result.findings} == {"w0 w1 w2"}
    assert (len(result.findings), result.attempt.queries) == (3, 6)


def test_scoring_on_some_prompts_pays_for_those_and_finds_nothing_yet() -> None:
    result = together(Together(texts=(("w0 w1",), ("w2",)), subset=(0, 2)))
    assert (result.attempt.queries, result.findings) == (4, ())


def test_what_was_found_before_the_budget_ended_stands() -> None:
    result = together(Together(texts=(("w0",), ("w1",), ("w2",))), budget=4)
    assert (result.attempt.outcome, result.attempt.queries) == ("found", 3)
    assert [finding.response for finding in result.findings] == ["w0"]


class ShortNoisy(Short):
    """Ranks in another dtype than it confirms in, so that small queries are scored exactly at once."""

    ranking_dtype = "float16"

    def exact_rewards(self, pairs: Sequence[Pair]) -> Any:
        for pair in pairs:
            self.n_tokens(pair)
        return super().exact_rewards(pairs)

    def swaps(self, requests: Sequence[SwapRequest]) -> Any:
        for request in requests:
            self.n_tokens(Pair(request.prompts[0], request.response))
        return super().swaps(requests)


def test_an_over_long_text_alone_in_its_query_ends_that_search_alone() -> None:
    rm = ShortNoisy()
    prompts = toy_prompts(2)
    plans = [
        plan(Scripted(texts=(("ba " * 10,),)), prompts[:1], rm, budget=9),
        plan(Scripted(texts=((rm.flaw,),)), prompts[1:], rm, budget=9, seed=1),
    ]
    assert sorted(r.attempt.outcome for r in driver(rm).run(plans)) == ["error", "found"]


def test_a_gradient_at_an_over_long_text_ends_that_search_alone_and_costs_nothing() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Differentiating(Scripted):
        name: ClassVar[str] = "differentiating"

        def search(self, seed: int) -> Search:
            del seed
            for (text,) in self.texts:
                table = yield Swaps(text, 2)
                yield Score(tuple(swap.apply(text) for row in table for swap in row))

    rm = ShortNoisy()
    prompts = toy_prompts(2)
    plans = [
        plan(Differentiating(texts=(("ba " * 10,),)), prompts[:1], rm, budget=30),
        plan(Differentiating(texts=(("ba ba",),)), prompts[1:], rm, budget=30, seed=1),
    ]
    never = WordJudge(sense=rm.vocabulary)
    results = {r.plan.seed: r.attempt for r in driver(rm, never).run(plans)}
    assert (results[0].outcome, results[0].queries, results[0].gradients) == ("error", 0, 0)
    assert "characters" in str(results[0].error)
    assert (results[1].outcome, results[1].gradients) == ("exhausted", 1)


def test_a_search_that_asks_free_questions_for_ever_is_ended() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Asking(Scripted):
        name: ClassVar[str] = "asking"

        def search(self, seed: int) -> Search:
            while True:
                yield Words(3, seed=seed)

    rm = ToyRewardModel()
    (result,) = run(Asking(texts=()), budget=9, rm=rm)
    assert (result.attempt.outcome, result.attempt.queries) == ("error", 0)
    assert "goes nowhere" in str(result.attempt.error)


def test_a_search_that_ends_before_a_text_is_scored_says_nothing_of_the_rm() -> None:
    (result,) = run(Scripted(texts=()), budget=9)
    assert (result.attempt.outcome, result.attempt.queries) == ("error", 0)
    assert "nothing to try" in str(result.attempt.error)


def test_an_rm_that_gives_no_numbers_ends_the_search_with_that_error() -> None:
    class Broken(ToyRewardModel):
        def rewards(self, pairs: Sequence[Pair]) -> Any:
            return np.full(len(pairs), np.nan)

    (result,) = run(known_attacks()["random"](), budget=200, rm=Broken())
    assert result.attempt.outcome == "error"
    assert "no number" in str(result.attempt.error)
    assert result.attempt.queries > 0
