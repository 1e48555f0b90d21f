"""The attractor test: pushed off its way, does a policy come back to what it says most often?

Of each prompt's samples the largest mode in the embedding is taken. One of its texts is cut in half, so many words of
an answer to *another* prompt are forced behind the first half, and the policy writes on. It has returned where what it
writes is, on average, as close to the second halves of the mode's other texts as texts of one mode are. Where it ends
at once it has said nothing: that is counted apart. Compared with the same first half written on without a push, and
with what the policy writes on other prompts ("stranger"). Ends are compared with ends: the kept half would be alike by
construction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from miner.language_models import LanguageModel
from miner.measuring.diversity.modes import cosine_distances, mode_labels, top_mode
from miner.measuring.diversity.report import Attractor
from miner.measuring.diversity.response_sets import MIN_SETS, PromptResponses, ResponseSets
from miner.measuring.diversity.sampling import SamplePlan, seed_of
from miner.progress import Advance
from miner.statistics import Rate, paired_difference, rate

MIN_WORDS = 4
CONTINUATIONS = 4

Embed = Callable[[Sequence[str]], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedPrompt:
    """One prompt: the kept half of a text, the forced words, and the ends of the mode's other texts."""

    written: PromptResponses
    kept: str
    forced: str
    ends: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AttractorTest:
    """Pushes ``policy`` by ``off_mode_tokens`` words; texts of one mode are ``mode_distance`` apart on average."""

    policy: LanguageModel
    embed: Embed
    plan: SamplePlan
    off_mode_tokens: int
    mode_distance: float

    def run(self, response_sets: ResponseSets, progress: Advance) -> Attractor | None:
        """The test on every prompt with a top mode of two long enough texts; None where too few have one, or say
        anything.

        Raises:
            TooLongError: see ``LanguageModel.sample``.
        """
        rng = Random(f"attractor|{self.plan.seed}")
        pushed = [one for written in response_sets.written if (one := self.pushed(written, response_sets, rng))]
        if len({one.written.group for one in pushed}) < MIN_SETS:
            return None
        forced, free = [], []
        for done, one in enumerate(pushed, start=1):
            forced.append(self._write_on(one, f"{one.kept} {one.forced}", "forced"))
            free.append(self._write_on(one, one.kept, "free"))
            progress(done, len(pushed))
        strangers = free[1:] + free[:1]  # each prompt beside the next one's
        came_back, unpushed, by_chance = (self._returns(pushed, of) for of in (forced, free, strangers))
        groups = [one.written.group for one in pushed]
        both = [i for i in range(len(pushed)) if came_back[i] and by_chance[i]]
        if len({groups[i] for i in both}) < MIN_SETS:
            return None
        return Attractor(
            forced=self._share(came_back, groups),
            free=self._share(unpushed, groups),
            stranger=self._share(by_chance, groups),
            ended=self._share([[not text for text in texts] for texts in forced], groups),
            pull=paired_difference(
                [float(np.mean(came_back[i])) for i in both],
                [float(np.mean(by_chance[i])) for i in both],
                [groups[i] for i in both],
                self.plan.seed,
            ),
            off_mode_tokens=self.off_mode_tokens,
            prompts=len(pushed),
            without=len(response_sets.written) - len(pushed),
        )

    def pushed(self, written: PromptResponses, response_sets: ResponseSets, rng: Random) -> PushedPrompt | None:
        """The half of a text of the top mode with words of another prompt's answer behind it; None without a mode."""
        labels = mode_labels(cosine_distances(self.embed(written.responses)), self.mode_distance)
        members = [written.responses[i].split() for i in top_mode(labels)]
        long_enough = [one for one in members if len(one) >= MIN_WORDS]
        others = [r.split() for one in response_sets.written if one.key != written.key for r in one.responses]
        pushes = [one for one in others if len(one) >= self.off_mode_tokens]
        if len(long_enough) < 2 or not pushes:
            return None
        start, *rest = long_enough
        push = rng.choice(pushes)
        at = rng.randrange(len(push) - self.off_mode_tokens + 1)
        return PushedPrompt(
            written=written,
            kept=" ".join(start[: len(start) // 2]),
            forced=" ".join(push[at : at + self.off_mode_tokens]),
            ends=tuple(" ".join(one[len(one) // 2 :]) for one in rest),
        )

    def returned(self, pushed: PushedPrompt, texts: Sequence[str]) -> list[bool]:
        """For each text that is not empty: is it as close to the mode's ends as texts of one mode?"""
        written = [text for text in texts if text]
        if not written:
            return []
        closeness = (self.embed(written) @ self.embed(pushed.ends).T).mean(1)
        return [bool(near >= 1 - self.mode_distance) for near in closeness]

    def _write_on(self, pushed: PushedPrompt, prefix: str, name: str) -> list[str]:
        samples = self.policy.sample(
            pushed.written.prompt,
            CONTINUATIONS,
            seed=seed_of(self.plan.seed, pushed.written.key, name),
            max_new_tokens=self.plan.max_new_tokens,
            temperature=self.plan.temperature,
            prefix=prefix,
        )
        return [one.text for one in samples.continuations]

    def _returns(self, pushed: Sequence[PushedPrompt], written: Sequence[Sequence[str]]) -> list[list[bool]]:
        return [self.returned(one, texts) for one, texts in zip(pushed, written, strict=True)]

    def _share(self, rows: Sequence[Sequence[bool]], groups: Sequence[str]) -> Rate:
        flat = [(outcome, group) for row, group in zip(rows, groups, strict=True) for outcome in row]
        return rate([outcome for outcome, _ in flat], groups=[group for _, group in flat], seed=self.plan.seed)
