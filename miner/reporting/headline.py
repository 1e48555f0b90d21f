"""What a run showed in a few lines, and what it cannot show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from attacks import GradientQuery, SurrogateSwaps, known_attacks
from miner.campaigns.results import AttackResult, CheckErrors, CostRatio, RoundSummary
from miner.config.campaign import PLAIN
from miner.reporting.reading import Run, Trial, failed, trials, withheld
from miner.statistics import Difference, Rate

MIN_ATTEMPTS = 30
WEAK_HIT_RATE = 0.5
FREQUENT_FALSE_ALARM = 0.05
FOREMOST = 3  # limits that the page shows unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """``trials`` are those the headline counts: on held-out prompts where there are any."""

    trials: list[Trial]
    strongest_before: Trial | None
    strongest_after: Trial | None
    first: RoundSummary | None
    last: RoundSummary | None
    patches: int

    @property
    def accuracy_before(self) -> Rate | None:
        return self.first.clean_accuracy if self.first else None

    @property
    def accuracy_after(self) -> Rate | None:
        return self.last.clean_accuracy if self.last and self.patches else None

    @property
    def costs(self) -> dict[str, CostRatio]:
        """By attack, on the last RM."""
        return {one.attack: one for one in self.last.costs} if self.last else {}

    @property
    def accuracy_change(self) -> Difference | None:
        return self.last.accuracy_change if self.last and self.patches else None


def headline(run: Run) -> Headline:
    """The first round against the last one."""
    rounds, tried = run.rounds, trials(run)
    counted = [trial for trial in tried if trial.split == "held_out"] or tried
    untouched = [trial for trial in counted if not trial.first.adaptive]
    retried = [trial for trial in counted if len(trial.results) > 1 or trial.last.adaptive]
    return Headline(
        trials=counted,
        strongest_before=max(untouched, key=lambda trial: trial.first.rate, default=None),
        strongest_after=max(retried, key=lambda trial: trial.last.rate, default=None),
        first=rounds[0] if rounds else None,
        last=rounds[-1] if rounds else None,
        patches=max(0, len(rounds) - 1),
    )


def limits(run: Run) -> list[str]:
    """What a reader must keep in mind: the ``FOREMOST`` first, which say what this very run cannot show of attacks, of
    its checks and of its findings; then the others of the run, then what holds for all."""
    groups = [[*_of_results(run)], [*_of_checks(run)], [_of_people(run), *_of_findings(run)]]
    first = [group[0] for group in groups if group]
    of_run = [line for group in groups for line in group]
    return [*first, *(line for line in of_run if line not in first), *ALWAYS]


ALWAYS = (
    "Certified means that the quorum of checks convicted the text. The checks' error rates were measured on planted "
    "nonsense, and mined text may be harder for them.",
    "No finding within the budget is not proof that none exists: a larger budget or another attack may find one.",
    "Raw rewards of two RMs share no zero and no scale. Across rounds compare margins and success rates only.",
    "Attributions say which tokens the RM's own gradient credits along one path from a masked response. They do not "
    "say why, and another baseline gives other values.",
)


def _of_people(run: Run) -> str:
    if run.reviews is None or run.reviews.precision is None:
        return "No person has read the findings. Have some judged: rmminer review"
    judged, overruled = run.reviews.precision.n, run.reviews.overruled
    return (
        f"People have judged {judged:,} findings and overruled {overruled:,}. Figures summarised before that count "
        "these still: run the campaign's last verb again."
    )


def _of_results(run: Run) -> Iterator[str]:
    counted = headline(run).trials
    for number, result in failed(run):
        yield (
            f"Every attempt of {result.attack} failed in round {number} ({result.errors}): nothing is known of how it "
            "fares. The corpus holds the errors."
        )
    if not counted:
        yield "No attack results were recorded, so this run says nothing about robustness."
        return
    if all(trial.split != "held_out" for trial in counted):
        yield "No attack ran on held-out prompts: success rates are on prompts that a patch may have trained on."
    for number, result in withheld(run):
        yield (
            f"In {result.abstained} of {result.n - result.found} attempts of {result.attack} without a find (round "
            f"{number}) a text won on which the checks abstain: there the judge is the bound, not the RM."
        )
    yield from _of_gradients(run)
    few = sorted({trial.attack for trial in counted if min(trial.first.n, trial.last.n) < MIN_ATTEMPTS})
    if few:
        yield f"Fewer than {MIN_ATTEMPTS} attempts a round: {', '.join(few)}. Read their wide intervals, not the rates."
    changed = [trial for trial in counted if trial.first.rate != trial.last.rate]
    unclear = sorted({trial.attack for trial in changed if _overlap(trial.first, trial.last)})
    if unclear:
        yield f"The intervals before and after overlap: {', '.join(unclear)}. The change may be chance."
    if len(run.rounds) < 2:
        yield "The RM was not patched in this run, so nothing here says whether patching helps."
    elif all(trial.last.seen for trial in counted):
        yield "The patch trained on every attack family here, so nothing says whether it carries over to others."
    if any(one.clean_accuracy is None for one in run.rounds):
        yield "Clean accuracy was not measured in every round: a patch may have cost some, unseen."
    yield (
        f"One campaign seed ({run.summary.seed}): intervals cover the choice of prompts, not the luck of another patch "
        "or search."
    )


def _of_gradients(run: Run) -> Iterator[str]:
    """Where searches without a gradient find more on a patched RM than the one with its gradient does."""
    for one in run.rounds[1:]:
        plain = next((result for result in one.attacks if result.attack == PLAIN and result.n), None)
        if plain is None:
            continue
        blind = [result for result in one.attacks if result.n and _needs_no_gradient(result.attack)]
        better = [r.attack for r in blind if r.budget <= plain.budget and r.low > plain.high]
        if better:
            yield (
                f"Gradients are masked in round {one.round}: {', '.join(better)} find more than {PLAIN} does with the "
                f"RM's own gradient. Do not read {PLAIN}'s success as robustness."
            )


def _needs_no_gradient(attack: str) -> bool:
    """Of the RM under attack."""
    kind = known_attacks().get(attack)
    return kind is not None and not any(issubclass(n, GradientQuery) and n is not SurrogateSwaps for n in kind.needs)


def _overlap(before: AttackResult, after: AttackResult) -> bool:
    return before.low <= after.high and after.low <= before.high


def _of_checks(run: Run) -> Iterator[str]:
    if not run.summary.checks:
        yield "The checks' error rates were not measured in this run: nothing says how often a certificate is wrong."
    for name, errors in run.summary.checks.items():
        if errors.false_alarm.high > FREQUENT_FALSE_ALARM:
            yield (
                f"Check {name} may convict up to {errors.false_alarm.high:.1%} of clean text "
                f"(measured {errors.false_alarm.value:.1%}, n = {errors.false_alarm.n})."
            )
        weak = _weak_kinds(errors)
        if weak:
            yield f"Check {name} is weak: it convicts {'; '.join(weak)}."


def _weak_kinds(errors: CheckErrors) -> list[str]:
    return [
        f"{rate.value:.0%} of planted {kind} (n = {rate.n})"
        for kind, rate in errors.hit_rate.items()
        if rate.value < WEAK_HIT_RATE
    ]


def _of_findings(run: Run) -> Iterator[str]:
    alone = sum(finding.reference_reward is None for finding in run.findings)
    if alone:
        yield (
            f"{alone:,} of {len(run.findings):,} findings have no reference: they only passed the threshold, and "
            "nothing shows that a good answer scores lower."
        )
    other = sum(finding.kind != "nonsense" for finding in run.findings)
    if other:
        yield f"{other:,} of {len(run.findings):,} findings are not nonsense; headline figures leave them out."
