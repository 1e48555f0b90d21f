"""What people score as gold: the answers of policies that ``overopt`` and ``gap`` stored in a run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from corpus.records import Conversation, Message, digest
from miner.judging.people_gold import sample_id
from miner.measuring.diversity.sampling import stored_samples
from miner.measuring.overopt.eval_prompts import read_prompts, study_folders
from miner.measuring.overopt.log import RUN, read_samples
from miner.reviewing.items import ReviewItem

UNKNOWN = (Message(role="user", content="(the prompt was not stored)"),)
GAP = "gap"  # where a campaign's report looks for that measurement


def gold_items(run: Path, seed: int) -> list[ReviewItem]:
    """Each stored answer once, prompt by prompt, in the order of digests: what is measured wants all answers to a
    prompt, and has them of the first prompts."""
    found = {sample_id(prompt_id, response): (prompt_id, prompt, response) for prompt_id, prompt, response in _of(run)}
    items = [
        ReviewItem(item_id=item_id, prompt=prompt or UNKNOWN, texts=(response,), cluster=prompt_id)
        for item_id, (prompt_id, prompt, response) in found.items()
    ]
    return sorted(items, key=lambda one: (digest([seed, one.cluster]), digest([seed, one.item_id])))


def _of(run: Path) -> Iterator[tuple[str, Conversation, str]]:
    for place in (run, run / GAP):
        for one in stored_samples(place):
            yield from ((one.prompt_id, one.prompt, response) for response in one.responses)
    for _, study in study_folders(run):
        prompts = read_prompts(study)
        for path in sorted(study.glob(f"*/{RUN}")):
            yield from (
                (row.prompt_id, prompts.get(row.prompt_id, ()), row.response) for row in read_samples(path.parent)
            )
