"""Where the items of a mode come from."""

from __future__ import annotations

from pathlib import Path

from corpus import Corpus
from corpus.records import ReviewMode, digest
from miner.errors import ConfigError
from miner.judging.near_misses import near_misses
from miner.reviewing.findings_index import FindingsIndex
from miner.reviewing.gold_items import gold_items
from miner.reviewing.items import Blocks, ListedItems, PairItems, ReviewItem, ReviewPlan, VerdictItems, clean_answers


def open_source(mode: ReviewMode, run: Path, corpus: Corpus, index: FindingsIndex, plan: ReviewPlan) -> Blocks:
    """The items of a mode.

    Raises:
        ConfigError, DataError: the run holds none; the message says how to come by some.
    """
    if mode == "gold":
        return ListedItems(_answers(run, plan), plan)
    if mode == "near_misses":
        return ListedItems(_near_misses(corpus, run, plan), plan, clean_answers(index, plan.seed))
    if not index.count():
        raise ConfigError(f"{run} holds no findings to review. Mine some first: rmminer mine --out {run}")
    source = PairItems(index, plan) if mode == "pairs" else VerdictItems(index, plan)
    if not source.total:
        raise ConfigError(f"no finding of {run} has a reference to stand beside. Review verdicts instead")
    return source


def _answers(run: Path, plan: ReviewPlan) -> list[ReviewItem]:
    if found := gold_items(run, plan.seed):
        return found
    raise ConfigError(
        f"{run} holds no answers of policies to score. Make some: rmminer overopt --out {run}, or rmminer gap --out "
        f"{run / 'gap'}"
    )


def _near_misses(corpus: Corpus, run: Path, plan: ReviewPlan) -> list[ReviewItem]:
    found = sorted(near_misses(corpus), key=lambda one: digest([plan.seed, one.item_id]))
    if not found:
        raise ConfigError(
            f"{run} holds no near misses: texts that passed the bar and were acquitted are kept with all scored texts "
            "only (mine with --set keep_queries=true)"
        )
    return [
        ReviewItem(
            item_id=one.item_id,
            prompt=one.prompt,
            texts=(one.response,),
            cluster=one.prompt_id,
            reference=one.reference,
        )
        for one in found
    ]
