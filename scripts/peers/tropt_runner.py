"""TROPT 0.1.1 against a scalar reward model: ``python tropt_runner.py JOB.json OUT.jsonl``.

Adapted, because TROPT's classifier losses want class labels: the loss is minus the only logit, and logs
what it is asked to score. Classifier model, optimizers, retokenisation filter and batching run as they ship, with the
hyper-parameters of the recipe hub. Needs its own environment (``tropt.txt``).
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

import torch
from tokenizers.processors import Sequence as NoFrame
from torch import Tensor


def _tolerant_dataclass(cls: type | None = None, /, **options: Any) -> Any:
    """``dataclass`` that takes a ``slice`` default, which Python 3.11 rejects as unhashable, through a factory."""
    if cls is None:
        return lambda cls: _tolerant_dataclass(cls, **options)
    for name, default in list(vars(cls).items()):
        if isinstance(default, slice):
            setattr(cls, name, field(default_factory=partial(copy, default)))
    return dataclass(cls, **options)


with mock.patch.object(dataclasses, "dataclass", _tolerant_dataclass):  # tropt/loss/losses.py has two such defaults
    from tropt.common import OPTIMIZED_TRIGGER_PLACEHOLDER, ModelInput
    from tropt.loss import BaseLoss
    from tropt.model.huggingface.classifier import ClassifierHFModel
    from tropt.optimizer import BaseOptimizer, gasliteplus_optimizer, gcg_optimizer, rs_optimizer
    from tropt.optimizer.utils.token_constraints import TokenConstraints
    from tropt.optimizer.utils.token_initializers import get_printable_random_trigger
    from tropt.recipe_hub.GASLITE__bentov2024 import GASLITE_PLUS_HPARAMS

N_STARTS = GASLITE_PLUS_HPARAMS["buffer_size"]  # scored at once by GASLITE+; the others score one start at a time
NOTES = (
    "loss = -logits[:, 0]; the vocabulary filter is disallow_custom_token_ids, the other filters off; topk at most the "
    "number of allowed tokens; GASLITE+ as its recipe has it, but topk as its n_candidates and no early stopping, each "
    "greedy sub-step (20 to a step of its own) logged as a step; random search as its recipe has it, but n_candidates; "
    "random starts of both go through the same filter and are drawn again until their length fits; random search "
    "filters ids, its texts may tokenise otherwise; scored is what the retokenisation filter left of sampled; stopped "
    "by an exception once a line past the limit is written; forward_tokens are TROPT's own count, gradients included"
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run; a prompt holds id, before, after and init; ``seconds`` is the wall limit of one prompt,
    which also ends once its id stands in ``stop_file``."""

    model: str
    kind: str
    prompts: list[dict[str, str]]
    add_special_tokens: bool
    n_candidates: int
    topk: int
    recipe: str
    dtype: str
    threads: int
    seconds: float
    stop_file: str
    max_steps: int
    seed: int
    allowed_tokens: str


@dataclass(kw_only=True, eq=False)
class MinusReward(BaseLoss):  # type: ignore[misc]
    """Minus the only logit; writes a line for each scoring of candidates in one prompt's search, none for gradients."""

    out: TextIO = field(repr=False)
    model: ClassifierHFModel = field(repr=False)
    prompt: str
    seconds: float
    stop_file: Path
    n_drawn: int  # before the retokenisation filter, by each scoring but those of starts
    started: float = field(default_factory=time.perf_counter)
    step: int = 0
    sampled: int = 0
    scored: int = 0
    seen: set[str] = field(default_factory=set)
    best: tuple[float, str] = (-float("inf"), "")

    def __call__(self, output_class_logits: Tensor, model_input: ModelInput) -> Tensor:
        rewards = output_class_logits[:, 0]
        if not rewards.requires_grad:
            self._record(model_input.input_trigger_strs, rewards.float())
        return -rewards

    def _record(self, texts: list[str], rewards: Tensor) -> None:
        """Raises TimeoutError once the prompt's time has passed."""
        elapsed = time.perf_counter() - self.started
        reward, text = rewards.max().item(), texts[rewards.argmax()]
        self.seen.update(texts)
        self.sampled += self.n_drawn if len(texts) > N_STARTS else len(texts)
        self.scored += len(texts)
        self.best = max(self.best, (reward, text), key=lambda pair: pair[0])
        line = {"prompt": self.prompt, "step": self.step, "seconds": elapsed, "text": self.best[1]}
        line |= {"claimed": self.best[0], "step_text": text, "step_claimed": reward, "sampled": self.sampled}
        forward_tokens = self.model.get_usage_stats()["total_tokens"]
        line |= {"scored": self.scored, "unique": len(self.seen), "forward_tokens": forward_tokens}
        print(json.dumps(line), file=self.out, flush=True)
        self.step += 1
        if elapsed >= self.seconds or (self.stop_file.exists() and self.stop_file.read_text() == self.prompt):
            raise TimeoutError


def load(job: Job) -> ClassifierHFModel:
    model = ClassifierHFModel(model_name=job.model, dtype=getattr(torch, job.dtype))
    tokenizer = model._tokenizer
    if tokenizer.pad_token is None:  # texts are padded in batches, and the end of one must not look like padding
        tokenizer.pad_token = tokenizer.bos_token or tokenizer.unk_token or tokenizer.eos_token
    model._model.config.pad_token_id = tokenizer.pad_token_id
    if not job.add_special_tokens:
        tokenizer.backend_tokenizer.post_processor = NoFrame([])  # TROPT always asks for them
    return model


def start_within(constraints: TokenConstraints, allowed: set[int]) -> Callable[..., Tensor]:
    """TROPT's random start with the filter that its optimizers leave out, drawn again until its length fits."""

    def start(trigger_len: int, **options: Any) -> Tensor:
        for _ in range(1000):
            ids: Tensor = get_printable_random_trigger(trigger_len, token_constraints=constraints, **options)
            if len(ids) == trigger_len and allowed.issuperset(ids.tolist()):
                return ids
        raise RuntimeError("1000 random starts, and none that the vocabulary filter allows")

    return start


def optimizer(job: Job, loss: MinusReward, constraints: TokenConstraints, topk: int) -> BaseOptimizer:
    common = {"model": loss.model, "loss": loss, "seed": job.seed, "token_constraints": constraints}
    common |= {"num_steps": job.max_steps, "n_candidates": job.n_candidates}
    if job.recipe == "gcg":
        return gcg_optimizer.GCGOptimizer(**common, sample_topk=topk)
    if job.recipe == "random":
        return rs_optimizer.RandomSearchOptimizer(**common, initial_block_len=4, patience=25)
    common |= {"n_candidates": topk, "early_stopping_patience": None}
    return gasliteplus_optimizer.GASLITEPlusOptimizer(**GASLITE_PLUS_HPARAMS | common)


def main(job_file: str, out_file: str) -> None:
    job = Job(**json.loads(Path(job_file).read_text()))
    if job.recipe not in ("gcg", "gaslite", "random"):
        raise SystemExit(f"recipe {job.recipe!r}: expected gcg, gaslite or random")
    torch.set_num_threads(job.threads)
    started = time.perf_counter()
    model = load(job)
    about: dict[str, object] = {"peer": "tropt", "version": version("tropt"), "recipe": job.recipe, "notes": NOTES}
    about["load_seconds"] = time.perf_counter() - started
    allowed = set(json.loads(Path(job.allowed_tokens).read_text()))
    off = dict.fromkeys(("disallow_non_ascii", "disallow_special_tokens", "disallow_unused_tokens"), False)
    constraints = TokenConstraints(**off, disallow_custom_token_ids=sorted(set(range(model.vocab_size)) - allowed))
    for module in (gasliteplus_optimizer, rs_optimizer):
        module.get_printable_random_trigger = start_within(constraints, allowed)
    topk = min(job.topk, len(allowed))
    n_drawn = topk if job.recipe == "gaslite" else job.n_candidates
    with Path(out_file).open("w") as out:
        print(json.dumps(about), file=out, flush=True)
        for prompt in job.prompts:
            loss = MinusReward(
                out=out,
                model=model,
                prompt=prompt["id"],
                seconds=job.seconds,
                n_drawn=n_drawn,
                stop_file=Path(job.stop_file),
            )
            template = prompt["before"] + OPTIMIZED_TRIGGER_PLACEHOLDER + prompt["after"]
            try:
                optimizer(job, loss, constraints, topk).optimize_trigger([template], prompt["init"])
            except TimeoutError:
                continue
            except RuntimeError as error:  # the retokenisation filter left nothing, or no batch size fits
                print(json.dumps({"prompt": prompt["id"], "error": str(error)}), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
