"""What is measured on the RMs of real pairs, a part at a time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.records import Finding
from corpus.store import Corpus
from miner.campaigns.campaign import Campaign
from miner.campaigns.opening import OpenCampaign
from miner.cli.watcher import Watcher
from miner.config.campaign import CampaignConfig
from miner.reporting.summarise import summarise
from miner.reporting.summary import read_summary
from miner.reporting.writing import write_report
from miner.rewards import load_reward_model
from miner.rewards.base import Pair
from miner.statistics import paired_difference, rate
from scripts.drills.rescoring import largest_difference
from scripts.real_bench.data import FRACTIONS, of_split, read_pairs
from scripts.real_bench.models import CUT, MINILM, SMOLLM2, bag_of_words, length, margins, trained_on

Floats = npt.NDArray[np.float64]
SEARCHES = ("gcg", "random", "evolve", "attribution", "relax", "transfer", "universal", "archive")
TOLERANCE = 1e-4


def accuracy(options: argparse.Namespace) -> dict[str, Any]:
    """How often each RM prefers the chosen answer of pairs on instructions that it was not trained on."""
    pairs = read_pairs(options.data)
    train, held_out = of_split(pairs, "train"), of_split(pairs, "held_out")
    groups = [one.instruction for one in held_out]
    found: dict[str, Floats] = {"length": length(train, held_out), "bag of words": bag_of_words(train, held_out)}
    for name in options.rms:
        found[name] = margins(trained_on(train, name, options.out, seed=options.seed), held_out)
    right = {name: (values > 0).astype(float) + (values == 0) / 2 for name, values in found.items()}
    return {
        "pairs": {"train": len(train), "held_out": len(held_out)},
        "instructions": {"train": len({one.instruction for one in train}), "held_out": len(set(groups))},
        "seed": options.seed,
        "accuracy": {name: _share(values, groups) for name, values in right.items()},
        "gain": {
            f"{name} over {other}": asdict(paired_difference(list(right[name]), list(right[other]), groups=groups))
            for name in options.rms
            for other in ("length", "bag of words")
        },
    }


def _share(values: Floats, groups: Sequence[str]) -> dict[str, Any]:
    """A tie counts as half; where there is none the interval is that of a rate."""
    if set(values) <= {0.0, 1.0}:
        return asdict(rate([bool(value) for value in values], groups=groups))
    difference = paired_difference(list(values), [0.0] * len(values), groups=groups)
    return {"value": difference.value, "n": len(values), "low": difference.low, "high": difference.high}


def config(name: str, options: argparse.Namespace) -> CampaignConfig:
    """The campaign against the RM of that name."""
    lm = options.reference_lm_of_smollm2 if name == SMOLLM2 else "smollm2"
    attacks: list[dict[str, Any]] = [{"name": attack} for attack in options.searches]
    attacks += [
        {"name": "corrupt", "budget_queries": options.queries // 4},
        {"name": "single_token", "budget_queries": options.queries // 4},
    ]
    sampled = ("best_of_n", "guided") if options.samples else ()
    attacks += [{"name": attack, "budget_queries": options.samples} for attack in sampled]
    return CampaignConfig.model_validate({
        "out": str(options.out / f"run-{name}"),
        "seed": options.seed,
        "rounds": options.rounds,
        "data": {"source": str(options.data), "fractions": list(astuple(FRACTIONS))},
        "rm": {"source": str(options.out / f"rm-{name}"), "truncation": CUT},
        "reference_lm": {"source": lm},
        "policy": {"source": "smollm2", "max_new_tokens": 48},
        "attacks": attacks,
        "mine": {"prompts": 2 * options.prompts, "budget_queries": options.queries, "attacks": ["gcg", "corrupt"]},
        "evaluate": {"prompts": options.prompts, "budget_queries": options.queries, "reach": 4},
    })  # fmt: skip


def cycle(name: str) -> Callable[[argparse.Namespace], dict[str, Any]]:
    """A round of every attack, one patch, and the attacks on the patched RM."""

    def run(options: argparse.Namespace) -> dict[str, Any]:
        trained_on(of_split(read_pairs(options.data), "train"), name, options.out, seed=options.seed)
        started = time.perf_counter()
        campaign = Campaign(config(name, options), Watcher())
        campaign.cycle()
        summarise(campaign, command="scripts/bench_real").write(campaign.folder)
        write_report(campaign.folder, attribution=None)
        return shown(campaign) | {"seconds": round(time.perf_counter() - started)}

    return run


def shown(campaign: OpenCampaign) -> dict[str, Any]:
    """Of a run's summary what a reader asks for, and its first finds."""
    written = read_summary(campaign.folder)
    kept = ("attack", "n", "found", "rate", "low", "high", "median_queries", "budget", "seen", "adaptive", "abstained")
    return {
        "rounds": [
            {
                "attacks": [{key: row[key] for key in kept} for row in one["attacks"]],
                "clean_accuracy": one["clean_accuracy"],
                "accuracy_change": one.get("accuracy_change"),
                "contrasts": one.get("contrasts"),
            }
            for one in written["rounds"]
        ],
        "checks": written["checks"],
        "transfer": written["transfer"],
        "examples": [_example(one) for one in _striking(campaign.findings())],
    }


def _striking(findings: Sequence[Finding]) -> list[Finding]:
    """Of each attack on the RM as given the two finds with the widest margin."""
    found: list[Finding] = []
    given = [one for one in findings if one.round == 0]
    for attack in sorted({one.attack for one in given}):
        found += sorted((one for one in given if one.attack == attack), key=lambda one: -one.margin)[:2]
    return found


def _example(one: Finding) -> dict[str, Any]:
    return {
        "attack": one.attack,
        "instruction": one.prompt[-1].content,
        "response": one.response,
        "reward": one.reward,
        "good_answer": one.reference,
        "its_reward": one.reference_reward,
        "queries": one.queries,
    }


def transfer(options: argparse.Namespace) -> dict[str, Any]:
    """Of the finds against one RM, the share that beat the good answer under the other, too."""
    found: dict[str, Any] = {}
    for source, target in ((MINILM, SMOLLM2), (SMOLLM2, MINILM)):
        if not (corpus := options.out / f"run-{source}" / "corpus").is_dir():
            continue  # not attacked yet
        usable = [one for one in Corpus(corpus).findings() if one.round == 0 and one.reference is not None]
        if not usable:
            continue
        rm = load_reward_model(options.out / f"rm-{target}", dtype="float32", truncation=CUT)
        flat = [Pair(one.prompt, str(text)) for one in usable for text in (one.response, one.reference)]
        rewards = np.asarray(rm.exact_rewards(flat)).reshape(-1, 2)
        groups = [one.prompt_id for one in usable]
        found[f"{source} to {target}"] = {
            attack: asdict(rate([bool(won[0] > won[1]) for won in rewards[at]], groups=[groups[i] for i in at]))
            for attack in ("all", *sorted({one.attack for one in usable}))
            if (at := [i for i, one in enumerate(usable) if attack in ("all", one.attack)])
        }
    return found


def rescored(options: argparse.Namespace) -> dict[str, Any]:
    """Every stored reward of the RMs as given against plain transformers."""
    found = {}
    for name in options.rms:
        if not (corpus := options.out / f"run-{name}" / "corpus").is_dir():
            continue  # not attacked yet
        findings = [one for one in Corpus(corpus).findings() if one.round == 0]
        n, worst = largest_difference(options.out / f"rm-{name}", findings)
        found[name] = {"n": n, "max_difference": worst, "bar": TOLERANCE, "met": worst <= TOLERANCE}
    return found


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "accuracy": accuracy,
    MINILM: cycle(MINILM),
    SMOLLM2: cycle(SMOLLM2),
    "transfer": transfer,
    "rescored": rescored,
}
