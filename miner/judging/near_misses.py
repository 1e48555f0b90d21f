"""Texts over the bar that are no findings: the checks acquitted them, or could not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corpus import Corpus
from corpus.records import Conversation, Message, Review, Split, digest

MAX_NEAR_MISSES = 20_000  # among which a sample is drawn
# a digest orders them: the first by id would be those of a few prompts
SQL = f"""
    SELECT DISTINCT q.prompt_id, q.response, f.prompt, f.reference, f.split
    FROM queries q JOIN (
        SELECT prompt_id, rm_fingerprint, any_value(prompt) AS prompt, any_value(reference) AS reference,
               any_value(split) AS split,
               max(greatest(threshold, coalesce(reference_reward, threshold))) AS bar
        FROM findings GROUP BY ALL
    ) f USING (prompt_id, rm_fingerprint)
    WHERE q.reward > f.bar
      AND NOT EXISTS (FROM findings g WHERE g.prompt_id = q.prompt_id AND g.response = q.response)
    ORDER BY md5(concat_ws('|', q.prompt_id, q.response)) LIMIT {MAX_NEAR_MISSES}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """One of them, on a prompt that has a finding."""

    prompt_id: str
    response: str
    prompt: Conversation
    reference: str | None
    split: Split

    @property
    def item_id(self) -> str:
        return digest(["near miss", self.prompt_id, self.response])


def near_misses(corpus: Corpus) -> list[NearMiss]:
    """Those among the stored queries, each text of a prompt once, in an order that is random and always the same."""
    return [
        NearMiss(
            prompt_id=row["prompt_id"],
            response=row["response"],
            prompt=tuple(Message(**turn) for turn in row["prompt"]),
            reference=row["reference"],
            split=row["split"],
        )
        for row in corpus.query(SQL).to_pylist()
    ]


def judged_near_misses(corpus: Corpus, reviews: Sequence[Review]) -> list[NearMiss]:
    """Those that may have been judged; nothing is looked up where nobody has judged any."""
    return near_misses(corpus) if any(one.mode == "near_misses" for one in reviews) else []
