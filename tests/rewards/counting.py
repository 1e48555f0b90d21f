"""A tokenizer that counts how often it is given each text."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from miner.rewards.adapters.transformer import TransformerRewardModel


class _Backend:
    def __init__(self, backend: Any, given: Counter[Any]) -> None:
        self._backend, self._given = backend, given

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def encode_batch(self, inputs: Any, **options: Any) -> Any:
        self._given.update(inputs)
        return self._backend.encode_batch(inputs, **options)

    def encode_batch_fast(self, inputs: Any, **options: Any) -> Any:
        self._given.update(inputs)
        return self._backend.encode_batch_fast(inputs, **options)


class CountingTokenizer:
    """``tokenizer``, with what its batches were ``given``."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self.given = tokenizer, Counter[Any]()
        self.backend_tokenizer = _Backend(tokenizer.backend_tokenizer, self.given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def counted(rm: TransformerRewardModel) -> tuple[TransformerRewardModel, Counter[Any]]:
    """The RM with a counting tokenizer, and the counts."""
    tokenizer: Any = CountingTokenizer(rm.pipeline.tokenizer)
    made = replace(rm, pipeline=replace(rm.pipeline, tokenizer=tokenizer))
    tokenizer.given.clear()  # of the probes that a pipeline is identified by
    return made, tokenizer.given
