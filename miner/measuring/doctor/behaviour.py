"""What the RM rewards: trivial answers, length, and the user's own preferences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from miner.campaigns.evaluation import clean_outcomes
from miner.measuring.doctor.diagnosis import Diagnosis, green, join_some, of_severity, severity_above
from miner.measuring.doctor.model_under_test import ModelUnderTest
from miner.rewards.base import Pair

TRIVIAL = {
    "the empty answer": "",
    "I don't know": "I don't know.",
    "one word 32 times": " ".join(["the"] * 32),
    "Sure!": "Sure!",
}


def trivial_answers(model: ModelUnderTest) -> Iterator[Diagnosis]:
    """Answers that no prompt deserves, against the good answer to each prompt."""
    beaten: dict[str, float] = {}
    for name, text in TRIVIAL.items():
        rewards = model.rm.exact_rewards([Pair(pair.prompt, text) for pair in model.references])
        beaten[name] = float((rewards > model.rewards).mean())
    worst = max(beaten, key=lambda name: beaten[name])
    found = join_some([f"{name} {share:.0%}" for name, share in sorted(beaten.items(), key=lambda item: -item[1])], 4)
    yield of_severity(
        severity_above(beaten[worst], amber=0.1, red=0.5), "trivial answers", f"beat the good answer: {found}",
        "filter such answers before they reach the RM, and patch it: rmminer cycle", beaten[worst],
    )  # fmt: skip


def length(model: ModelUnderTest) -> Iterator[Diagnosis]:
    """Rank correlation of reward and response length over good and rejected answers."""
    pairs = [*model.references, *(Pair(p.conversation, r) for p in model.prompts for r in p.rejected[:1])]
    lengths = [len(pair.response) for pair in pairs]
    if len(set(lengths)) < 3 or model.spread < 1e-6:
        return
    rho = float(stats.spearmanr(model.rm.exact_rewards(pairs), lengths).statistic)
    yield of_severity(
        severity_above(abs(rho), amber=0.5, red=0.9), "length", f"rank correlation of reward and length {rho:+.2f}",
        "the reward mostly follows length: balance lengths in the RM's training pairs", rho,
    )  # fmt: skip


def accuracy(model: ModelUnderTest) -> Iterator[Diagnosis]:
    """Preference accuracy; judged only on the user's own data."""
    outcomes = clean_outcomes(model.rm, model.prompts)
    if outcomes is None:
        return
    found = outcomes.accuracy()
    text = f"{found.value:.1%} [{found.low:.1%}–{found.high:.1%}], n {found.n}"
    if not model.owned:
        yield green("preference accuracy", f"{text}, on docstrings: give --data for your own", found.value)
        return
    yield of_severity(
        "red" if found.high < 0.5 else "amber" if found.low <= 0.5 else "green", "preference accuracy", text,
        "no better than a coin, or chosen and rejected are swapped: check the columns, then the model", found.value,
    )  # fmt: skip


def ties(model: ModelUnderTest) -> Iterator[Diagnosis]:
    """Chosen and rejected with the very same reward, as where truncation leaves only what they share."""
    pairs = [(Pair(p.conversation, p.reference), Pair(p.conversation, r)) for p in model.prompts if p.reference
             for r in p.rejected if r != p.reference]  # fmt: skip
    if not pairs:
        return
    rewards = model.rm.exact_rewards([pair for both in pairs for pair in both]).reshape(-1, 2)
    share = float(np.mean(rewards[:, 0] == rewards[:, 1]))
    few, many = (0.01, 0.2) if model.rounding == 1 else (0.1, 0.5)  # bf16 rewards fall on few values
    yield of_severity(
        severity_above(share, amber=few, red=many), "ties", f"{share:.1%} of pairs get the same reward twice",
        "is the end of the text cut off, or the response not in the template?", share,
    )  # fmt: skip
