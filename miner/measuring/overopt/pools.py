"""Pools of samples for best-of-n: drawn from a policy once, scored by the RM and by gold, stored, read ever after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.records import Prompt, digest
from miner.errors import DataError, ResumeError
from miner.files import replace_table
from miner.judging.gold import Answer, Gold
from miner.language_models import LanguageModel
from miner.measuring.best_of_n import Pool
from miner.rewards.base import Pair, Scorer

POOL = "pool.parquet"
SCHEMA = pa.schema(
    [("prompt_id", pa.string()), ("response", pa.string()), ("proxy", pa.float32()), ("gold", pa.float32())]
)


Convict = Callable[[Sequence[Prompt], Sequence[str]], Sequence[float]]
"""1.0 for each answer that is nonsense, 0.0 for sense, NaN where that cannot be told."""


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """``n`` samples for each of ``prompts``."""

    n: int = 1024
    prompts: int = 16
    max_new_tokens: int = 32
    seed: int = 0


def draw_pools(
    folder: Path,
    *,
    policy: LanguageModel,
    prompts: Sequence[Prompt],
    rm: Scorer,
    gold: Gold,
    nonsense: Convict,
    settings: PoolSettings,
    identity: Sequence[str],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Pool]:
    """The pool of each prompt, drawn where ``folder`` lacks it: a killed run goes on at the next prompt. Stored samples
    on which gold abstained are judged again, for it may have been down.

    Raises:
        ResumeError: the folder's pools were drawn with other models or settings.
    """
    key = digest([asdict(settings), list(identity)])
    path = folder / POOL
    stored = _read(path, key)
    for done, prompt in enumerate(prompts, start=1):
        known = stored.get(prompt.prompt_id)
        texts, pool = known or _drawn(prompt, policy, rm, settings)
        lacking = list(dict.fromkeys(text for text, worth in zip(texts, pool.gold, strict=True) if np.isnan(worth)))
        scores = _scores(prompt, lacking, gold, nonsense)
        if known is None or not np.isnan(list(scores.values())).all():
            worths = [scores.get(text, worth) for text, worth in zip(texts, pool.gold, strict=True)]
            stored[prompt.prompt_id] = (texts, Pool(proxy=pool.proxy, gold=np.array(worths)))
            _write(path, stored, key)
        progress(done, len(prompts))
    return {prompt.prompt_id: stored[prompt.prompt_id][1] for prompt in prompts}


def _drawn(prompt: Prompt, policy: LanguageModel, rm: Scorer, settings: PoolSettings) -> tuple[list[str], Pool]:
    """Samples with their rewards; gold has not seen them yet."""
    samples = policy.sample(prompt.conversation, settings.n, seed=settings.seed, max_new_tokens=settings.max_new_tokens)
    texts = [one.text for one in samples.continuations]
    unique = list(dict.fromkeys(texts))  # a text is scored once
    proxy = dict(zip(unique, rm.exact_rewards([Pair(prompt.conversation, t) for t in unique]), strict=True))
    return texts, Pool(proxy=np.array([proxy[t] for t in texts]), gold=np.full(len(texts), np.nan))


def _scores(prompt: Prompt, texts: Sequence[str], gold: Gold, nonsense: Convict) -> dict[str, float]:
    """Gold by text, NaN where it abstains."""
    if not texts:
        return {}
    answers = [
        Answer(
            prompt=prompt.conversation,
            response=text,
            reference=prompt.reference,
            nonsense=None if np.isnan(verdict) else verdict == 1.0,
        )
        for text, verdict in zip(texts, nonsense([prompt] * len(texts), texts), strict=True)
    ]
    found = gold.scores(answers)
    return {text: np.nan if score is None else score for text, score in zip(texts, found, strict=True)}


def read_pools(folder: Path) -> dict[str, Pool]:
    """The pools a folder holds; none where it has none."""
    return {key: pool for key, (_, pool) in _read(folder / POOL, None).items()}


def _read(path: Path, key: str | None) -> dict[str, tuple[list[str], Pool]]:
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path}: {error}. Delete it and run again") from error
    if key is not None and (table.schema.metadata or {}).get(b"key") != key.encode():
        raise ResumeError(f"{path} was drawn with other models or settings. Use another --out, or delete it")
    found: dict[str, tuple[list[str], Pool]] = {}
    ids = np.array(table["prompt_id"].to_pylist())
    texts, proxy, gold = table["response"].to_pylist(), table["proxy"].to_numpy(), table["gold"].to_numpy()
    for prompt_id in dict.fromkeys(ids.tolist()):
        at = np.flatnonzero(ids == prompt_id)
        found[prompt_id] = (
            [texts[i] for i in at],
            Pool(proxy=proxy[at].astype(np.float64), gold=gold[at].astype(np.float64)),
        )
    return found


def _write(path: Path, pools: dict[str, tuple[list[str], Pool]], key: str) -> None:
    columns = {
        "prompt_id": [prompt_id for prompt_id, (texts, _) in pools.items() for _ in texts],
        "response": [text for texts, _ in pools.values() for text in texts],
        "proxy": np.concatenate([pool.proxy for _, pool in pools.values()]).astype(np.float32),
        "gold": np.concatenate([pool.gold for _, pool in pools.values()]).astype(np.float32),
    }
    replace_table(path, pa.table(columns, schema=SCHEMA).replace_schema_metadata({"key": key}))
