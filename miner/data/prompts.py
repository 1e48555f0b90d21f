"""The prompts that were read, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from corpus.records import Conversation, Message, Prompt, Split
from miner.data.row_store import Numbers, RowStore

SPLITS: tuple[Split, ...] = ("train", "calibration", "held_out")
AT_ONCE = 1024


@dataclass(slots=True)
class Gathered:
    """What rows say about one prompt; the rejected keys are an ordered set.

    ``spare`` counts good answers that are not used, ``uncompared`` scored ones with none to be compared with: not known
    to be good.
    """

    conversation: Conversation
    reference: str | None = None
    rejected: dict[str, None] = field(default_factory=dict)
    spare: int = 0
    uncompared: int = 0

    @classmethod
    def of(cls, rows: Iterable[dict[str, Any]]) -> Gathered:
        """All rows of the prompt in order. Where they carry scores, the best is the reference and those strictly below
        it are rejected."""
        found: Gathered | None = None
        scored: list[tuple[float, str]] = []
        for row in rows:
            if found is None:
                found = cls(tuple(Message(**turn) for turn in row["turns"]))
            found.rejected.update(dict.fromkeys(row["rejected"]))
            chosen, score = row["chosen"], row["score"]
            if score is not None and chosen is not None:
                scored.append((score, chosen))
            elif found.reference is None:
                found.reference = chosen
            elif chosen not in (None, found.reference):
                found.spare += 1
        assert found is not None  # a prompt has at least a row
        found._settle(scored)
        return found

    def _settle(self, scored: list[tuple[float, str]]) -> None:
        if not scored:
            return
        top = max(score for score, _ in scored)
        best = list(dict.fromkeys(text for score, text in scored if score == top))
        below = sorted((one for one in scored if one[0] < top), key=lambda one: -one[0])
        if not below:
            self.uncompared += len(best)
            return
        self.reference = best[0]
        self.rejected.update(dict.fromkeys(text for _, text in below))
        self.spare += len(best) - 1

    @property
    def contradicts_itself(self) -> bool:
        """The reference is rejected, too."""
        return self.reference in self.rejected


@dataclass(frozen=True, slots=True)
class GatheredRows:
    """Rows by prompt: those of prompt ``n`` are ``order[bounds[n] : bounds[n + 1]]`` of the ``store``."""

    store: RowStore
    order: Numbers
    bounds: Numbers

    @classmethod
    def of(cls, store: RowStore, prompt_of: Numbers) -> GatheredRows:
        """``prompt_of``: the prompt of each row."""
        ends = np.cumsum(np.bincount(prompt_of))
        return cls(store, np.argsort(prompt_of, kind="stable"), np.concatenate([[0], ends]))

    @property
    def n_rows(self) -> Numbers:
        """Of each prompt."""
        return np.diff(self.bounds)

    def read(self, prompts: Numbers) -> Iterator[Gathered]:
        for start in range(0, len(prompts), AT_ONCE):
            part = prompts[start : start + AT_ONCE]
            spans = list(zip(self.bounds[part].tolist(), self.bounds[part + 1].tolist(), strict=True))
            rows = self.store.read(np.concatenate([self.order[begin:end] for begin, end in spans]))
            for begin, end in spans:
                yield Gathered.of(next(rows) for _ in range(end - begin))


@dataclass(frozen=True, slots=True, eq=False)
class Prompts(Sequence[Prompt]):
    """Prompts in the order of their first rows: all that were gathered, or the ``numbers`` of some.

    ``groups`` holds every group's key, ``splits`` its split by its place in ``SPLITS``; ``group_of`` is by prompt.
    """

    gathered: GatheredRows
    groups: Any
    splits: Numbers
    group_of: Numbers
    numbers: Numbers

    def in_split(self, split: Split) -> Prompts:
        held = self.splits[self.group_of[self.numbers]] == SPLITS.index(split)
        return self._of(self.numbers[held])

    def each_split(self) -> list[Split]:
        """The split of each prompt."""
        return [SPLITS[split] for split in self.splits[self.group_of[self.numbers]].tolist()]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Prompt]:
        groups = self.group_of[self.numbers].tolist()
        for group, one in zip(groups, self.gathered.read(self.numbers), strict=True):
            yield Prompt(
                conversation=one.conversation,
                reference=one.reference,
                rejected=tuple(text for text in one.rejected if text != one.reference),
                group_key=self.groups[group].as_py(),
                split=SPLITS[self.splits[group]],
            )

    @overload
    def __getitem__(self, at: int) -> Prompt: ...
    @overload
    def __getitem__(self, at: slice) -> Prompts: ...
    def __getitem__(self, at: int | slice) -> Prompt | Prompts:
        if isinstance(at, slice):
            return self._of(self.numbers[at])
        return next(iter(self._of(self.numbers[[at]])))

    def _of(self, numbers: Numbers) -> Prompts:
        return Prompts(self.gathered, self.groups, self.splits, self.group_of, numbers)


def in_split(prompts: Sequence[Prompt], split: Split) -> Sequence[Prompt]:
    """Those of a split; of ``Prompts`` no others are made."""
    if isinstance(prompts, Prompts):
        return prompts.in_split(split)
    return tuple(prompt for prompt in prompts if prompt.split == split)


def each_split(prompts: Sequence[Prompt]) -> list[Split]:
    """The split of each prompt; of ``Prompts`` none is made."""
    return prompts.each_split() if isinstance(prompts, Prompts) else [prompt.split for prompt in prompts]
