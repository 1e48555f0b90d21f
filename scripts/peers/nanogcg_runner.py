"""nanoGCG 0.3.0 against a scalar reward model: ``python nanogcg_runner.py JOB.json OUT.jsonl``.

Adapted, because nanoGCG minimises the cross-entropy of a target text and an RM has none: the loss is minus the reward,
the last position's hidden state through the head, and the target is empty. Sampling, ``filter_ids``, buffer, prefix
cache and batch-size finder run as they ship. Needs its own environment (``nanogcg.txt``).
"""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch
from nanogcg.gcg import GCG, GCGConfig
from tokenizers.processors import Sequence as NoFrame
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

logging.getLogger("nanogcg").setLevel(logging.ERROR)
NOTES = (
    "loss = -(last hidden state through the head), empty target; the vocabulary filter is not_allowed_ids, over every "
    "row of the embedding; topk at most the number of allowed tokens; filter_ids, prefix cache (causal only) and batch "
    "finder as shipped, but without the second gc.collect of each batch; weights take no gradient; special tokens that "
    "the job asks for are written into before and after, and the tokenizer adds none; the chat template is the bare "
    "content; stopped through stop_flag; forward_tokens leave the cached prefix out"
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


@dataclass(kw_only=True)
class Journal:
    """Writes a line for every scoring of candidates in one prompt's search."""

    out: TextIO
    prompt: str
    seconds: float
    stop_file: Path
    started: float = field(default_factory=time.perf_counter)
    step: int = 0
    sampled: int = 0
    scored: int = 0
    forward_tokens: int = 0
    seen: set[bytes] = field(default_factory=set)
    best: tuple[float, str] = (-float("inf"), "")

    def record(self, ids: torch.Tensor, reward: float, text: str, *, sampled: int) -> bool:
        """``ids`` (n, length) are what was scored, ``text`` is the best of them. True once the time has passed."""
        elapsed = time.perf_counter() - self.started
        self.seen.update(row.tobytes() for row in ids.numpy())
        self.sampled += sampled
        self.scored += len(ids)
        self.best = max(self.best, (reward, text), key=lambda pair: pair[0])
        line = {"prompt": self.prompt, "step": self.step, "seconds": elapsed, "text": self.best[1]}
        line |= {"claimed": self.best[0], "step_text": text, "step_claimed": reward, "sampled": self.sampled}
        line |= {"scored": self.scored, "unique": len(self.seen), "forward_tokens": self.forward_tokens}
        print(json.dumps(line), file=self.out, flush=True)
        self.step += 1
        return elapsed >= self.seconds or (self.stop_file.exists() and self.stop_file.read_text() == self.prompt)


class RememberedEmbedding:
    """The embedding layer, remembering the ids that it embedded last: nanoGCG's losses see no ids."""

    def __init__(self, layer: torch.nn.Embedding) -> None:
        self.layer = layer
        self.weight = layer.weight
        self.ids = torch.empty(0)

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        self.ids = ids
        embedded: torch.Tensor = self.layer(ids)
        return embedded


class RewardGCG(GCG):  # type: ignore[misc]
    """nanoGCG's search with minus the reward as its loss."""

    embedding_layer: Any
    model: Any

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, config: GCGConfig, journal: Journal
    ) -> None:
        super().__init__(model, tokenizer, config)
        self.embedding_layer = RememberedEmbedding(self.embedding_layer)
        self.journal = journal

    def compute_token_gradient(self, optim_ids: torch.Tensor) -> torch.Tensor:
        """Gradient of the loss by the one-hot response, of shape (1, length, vocabulary)."""
        weight = self.embedding_layer.weight
        choice = torch.zeros(*optim_ids.shape, len(weight), dtype=weight.dtype).scatter_(2, optim_ids[..., None], 1)
        choice.requires_grad_()
        parts = [choice @ weight, self.after_embeds]
        rewards = self._rewards(torch.cat(parts if self.prefix_cache else [self.before_embeds, *parts], dim=1))
        return torch.autograd.grad(-rewards.sum(), choice)[0]

    @torch.no_grad()
    def _compute_candidates_loss_original(self, search_batch_size: int, input_embeds: torch.Tensor) -> torch.Tensor:
        rewards = torch.cat([self._rewards(batch) for batch in input_embeds.split(search_batch_size)]).float()
        ids = self.embedding_layer.ids
        sampled = self.config.search_width if self.journal.step else len(ids)  # step 0 scores the start alone
        text = self.tokenizer.decode(ids[rewards.argmax()])
        self.stop_flag = self.journal.record(ids, rewards.max().item(), text, sampled=sampled)
        return -rewards

    def _rewards(self, embeds: torch.Tensor) -> torch.Tensor:
        """Rewards of (n, positions, hidden) embeddings, behind the cached prefix where there is one."""
        self.journal.forward_tokens += embeds.shape[0] * embeds.shape[1]
        if not hasattr(self.model, "score"):
            logits: torch.Tensor = self.model(inputs_embeds=embeds).logits
            return logits[:, 0]
        n = len(embeds)
        cache = self.prefix_cache and [[part.expand(n, -1, -1, -1) for part in layer] for layer in self.prefix_cache]
        hidden = self.model.base_model(inputs_embeds=embeds, past_key_values=cache, use_cache=bool(cache))[0]
        scores: torch.Tensor = self.model.score(hidden[:, -1])
        return scores[:, 0]


def load(job: Job) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, tuple[str, str]]:
    """Model, tokenizer and the special tokens around a whole text, as text."""
    model = AutoModelForSequenceClassification.from_pretrained(job.model, torch_dtype=getattr(torch, job.dtype))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(job.model)  # 4.47 knows no class name of transformers 5
    framed = tokenizer("a", add_special_tokens=job.add_special_tokens).input_ids
    bare = tokenizer("a", add_special_tokens=False).input_ids
    start = next(i for i in range(len(framed)) if framed[i : i + len(bare)] == bare)
    frame = (tokenizer.decode(framed[:start]), tokenizer.decode(framed[start + len(bare) :]))
    tokenizer.backend_tokenizer.post_processor = NoFrame([])
    tokenizer.bos_token = None  # or nanoGCG would cut it off the front of ``before``
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return model.eval().requires_grad_(False), tokenizer, frame


def main(job_file: str, out_file: str) -> None:
    job = Job(**json.loads(Path(job_file).read_text()))
    if job.recipe != "gcg":
        raise SystemExit(f"recipe {job.recipe!r}: nanoGCG has 'gcg' only")
    torch.set_num_threads(job.threads)
    started = time.perf_counter()
    model, tokenizer, (head, tail) = load(job)
    about: dict[str, object] = {"peer": "nanogcg", "version": version("nanogcg"), "recipe": job.recipe, "notes": NOTES}
    about["load_seconds"] = time.perf_counter() - started
    allowed = json.loads(Path(job.allowed_tokens).read_text())
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, torch.nn.Embedding)
    forbidden = torch.ones(embedding.num_embeddings, dtype=torch.bool)
    forbidden[allowed] = False
    with Path(out_file).open("w") as out:
        print(json.dumps(about), file=out, flush=True)
        for prompt in job.prompts:
            config = GCGConfig(
                num_steps=job.max_steps, optim_str_init=prompt["init"], search_width=job.n_candidates,
                topk=min(job.topk, len(allowed)), use_prefix_cache=job.kind == "causal", allow_non_ascii=True,
                seed=job.seed,
            )  # fmt: skip
            journal = Journal(out=out, prompt=prompt["id"], seconds=job.seconds, stop_file=Path(job.stop_file))
            search = RewardGCG(model, tokenizer, config, journal)
            search.not_allowed_ids = forbidden.nonzero()[:, 0]
            try:
                search.run(head + prompt["before"] + "{optim_str}" + prompt["after"] + tail, target="")
            except RuntimeError as error:  # filter_ids found no candidate, or no batch size fits
                print(json.dumps({"prompt": prompt["id"], "error": str(error)}), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
