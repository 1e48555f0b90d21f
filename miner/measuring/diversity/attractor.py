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
from miner.measuring.diversity.sampling import SamplePlan, seed_of
from miner.measuring.diversity.writings import LEAST_SETS, Writings, Written
from miner.progress import Advance
from miner.statistics import Rate, paired_difference, rate

LEAST_WORDS = 4
CONTINUATIONS = 4

Embed = Callable[[Sequence[str]], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """One prompt: the kept half, the forced words, and the ends of the mode's other texts."""

    written: Written
    kept: str
    forced: str
    ends: tuple[str, ...]


def attractor_test(
    policy: LanguageModel,
    writings: Writings,
    embed: Embed,
    plan: SamplePlan,
    *,
    off_mode_tokens: int,
    mode_distance: float,
    progress: Advance,
) -> Attractor | None:
    """The test on every prompt with a top mode of two long enough texts; None where too few have one, or say anything.

    Raises:
        TooLongError: see ``LanguageModel.sample``.
    """
    rng = Random(f"attractor|{plan.seed}")
    trials = [t for one in writings.written if (t := _trial(one, writings, embed, rng, off_mode_tokens, mode_distance))]
    if len({trial.written.group for trial in trials}) < LEAST_SETS:
        return None

    def write_on(trial: _Trial, prefix: str, name: str) -> list[str]:
        samples = policy.sample(
            trial.written.prompt,
            CONTINUATIONS,
            seed=seed_of(plan.seed, trial.written.key, name),
            max_new_tokens=plan.max_new_tokens,
            temperature=plan.temperature,
            prefix=prefix,
        )
        return [one.text for one in samples.continuations]

    forced, free = [], []
    for done, trial in enumerate(trials, start=1):
        forced.append(write_on(trial, f"{trial.kept} {trial.forced}", "forced"))
        free.append(write_on(trial, trial.kept, "free"))
        progress(done, len(trials))
    strangers = free[1:] + free[:1]  # each prompt beside the next one's

    def returns(of: Sequence[Sequence[str]]) -> list[list[bool]]:
        return [_returned(trial, texts, embed, mode_distance) for trial, texts in zip(trials, of, strict=True)]

    came_back, unpushed, by_chance = returns(forced), returns(free), returns(strangers)
    groups = [trial.written.group for trial in trials]
    both = [i for i in range(len(trials)) if came_back[i] and by_chance[i]]
    if len({groups[i] for i in both}) < LEAST_SETS:
        return None

    def share(rows: Sequence[Sequence[bool]]) -> Rate:
        flat = [(outcome, group) for row, group in zip(rows, groups, strict=True) for outcome in row]
        return rate([outcome for outcome, _ in flat], groups=[group for _, group in flat], seed=plan.seed)

    return Attractor(
        forced=share(came_back),
        free=share(unpushed),
        stranger=share(by_chance),
        ended=share([[not text for text in texts] for texts in forced]),
        pull=paired_difference(
            [float(np.mean(came_back[i])) for i in both],
            [float(np.mean(by_chance[i])) for i in both],
            [groups[i] for i in both],
            plan.seed,
        ),
        off_mode_tokens=off_mode_tokens,
        prompts=len(trials),
        without=len(writings.written) - len(trials),
    )


def _trial(
    written: Written, writings: Writings, embed: Embed, rng: Random, off_mode_tokens: int, mode_distance: float
) -> _Trial | None:
    labels = mode_labels(cosine_distances(embed(written.responses)), mode_distance)
    members = [written.responses[i].split() for i in top_mode(labels)]
    long_enough = [one for one in members if len(one) >= LEAST_WORDS]
    others = [r.split() for one in writings.written if one.key != written.key for r in one.responses]
    pushes = [one for one in others if len(one) >= off_mode_tokens]
    if len(long_enough) < 2 or not pushes:
        return None
    start, *rest = long_enough
    push = rng.choice(pushes)
    at = rng.randrange(len(push) - off_mode_tokens + 1)
    return _Trial(
        written=written,
        kept=" ".join(start[: len(start) // 2]),
        forced=" ".join(push[at : at + off_mode_tokens]),
        ends=tuple(" ".join(one[len(one) // 2 :]) for one in rest),
    )


def _returned(trial: _Trial, texts: Sequence[str], embed: Embed, mode_distance: float) -> list[bool]:
    """For each text that is not empty: is it as close to the mode's ends as texts of one mode?"""
    written = [text for text in texts if text]
    if not written:
        return []
    closeness = (embed(written) @ embed(trial.ends).T).mean(1)
    return [bool(near >= 1 - mode_distance) for near in closeness]
