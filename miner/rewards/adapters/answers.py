"""Rewards read off the probabilities of a few tokens or labels: A against B, good against bad, a number of a scale."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from miner.errors import ModelError
from miner.rewards.adapters.causal import CausalRewardModel
from miner.rewards.compute.prefix_cache import Ids
from miner.rewards.text.template_pipeline import PROBE, FramedPipeline

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

PROBE_TOLERANCE = 0.05  # of the model's own logits, relative: rounding of a bf16 head


class AnswerHead(torch.nn.Module):
    """Logits of ``ids`` alone, in fp32 whatever the model runs in: a bf16 logit near 20 comes in steps of 1/8."""

    def __init__(self, head: torch.nn.Module, cap: float | None, ids: Sequence[int]) -> None:
        super().__init__()
        self.cap = cap
        self.ids: list[int] | None = None
        if isinstance(head, torch.nn.Linear):
            chosen = torch.tensor(ids, device=head.weight.device)
            kept = torch.nn.Linear(head.in_features, len(ids), bias=head.bias is not None, device=chosen.device)
            kept.weight.data = head.weight.detach()[chosen].float()
            if head.bias is not None:
                kept.bias.data = head.bias.detach()[chosen].float()
            self.inner: torch.nn.Module = kept
        else:
            self.inner, self.ids = copy.deepcopy(head).float(), list(ids)
        self.eval().requires_grad_(False)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(…, hidden) to (…, n_ids)."""
        found: torch.Tensor = self.inner(hidden.float())
        if self.ids is not None:
            found = found[..., self.ids]
        return found if self.cap is None else self.cap * torch.tanh(found / self.cap)


def log_odds(logits: torch.Tensor, answers: Sequence[int]) -> torch.Tensor:
    """Of the first of two ``answers`` against the second: (…, n_logits) → (…,)."""
    first, second = answers
    return logits[..., first].float() - logits[..., second].float()


class LogOddsHead(AnswerHead):
    """The log-odds of the first answer against the second: (…, 1)."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = self.logits(hidden)
        return logits[..., :1] - logits[..., 1:]


class Expectation(AnswerHead):
    """The mean of ``values`` under the answers' probabilities: (…, 1)."""

    def __init__(
        self, head: torch.nn.Module, cap: float | None, ids: Sequence[int], *, values: Sequence[float]
    ) -> None:
        super().__init__(head, cap, ids)
        self.values = list(values)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        probabilities = torch.softmax(self.logits(hidden), dim=-1)
        return probabilities @ torch.tensor(self.values, device=hidden.device)[:, None]


@dataclass(kw_only=True, eq=False)
class NextTokenRewardModel(CausalRewardModel):
    """A causal LM read at the end of the text, where its answer would come next. ``read_as`` names the answers."""

    read_as: tuple[object, ...]
    is_trainable = False
    can_truncate = False
    reads_its_models_output = False

    def head_identity(self) -> list[object]:
        return [type(self.model).__name__, "next token", *self.read_as]

    def read_at(self, ids: Ids) -> int:
        return len(ids) - 1


def answer_tokens(tokenizer: PreTrainedTokenizerFast, behind: str, answers: Sequence[str], key: str) -> list[int]:
    """The one token that each answer adds to a text that ends as ``behind`` does; ``key`` is their place in the
    campaign file.

    Raises:
        ModelError: one adds none or more than one, or changes the token before it, or two are the same token.
    """
    found = [_answer_token(tokenizer, behind, answer, key) for answer in answers]
    if len(set(found)) < len(found):
        raise ModelError(f"{key}: two of {', '.join(map(repr, answers))} are the same token; give answers that differ")
    return found


def _answer_token(tokenizer: PreTrainedTokenizerFast, behind: str, answer: str, key: str) -> int:
    backend = tokenizer.backend_tokenizer
    before = backend.encode(behind, add_special_tokens=False).ids
    after = backend.encode(behind + answer, add_special_tokens=False).ids
    if after[:-1] == before:
        return int(after[-1])
    tokens = tokenizer.convert_ids_to_tokens(backend.encode(answer, add_special_tokens=False).ids)
    hint = "Leave its space out" if answer.startswith(" ") else "Try it with a space before it"
    raise ModelError(
        f"{key}: {answer!r} is not one token behind {behind[-12:]!r} (alone it is {', '.join(tokens)}). "
        f"{hint}, or give answers that are single tokens"
    )


def open_ended(pipeline: FramedPipeline) -> tuple[tuple[int, ...], str]:
    """The ids and the text of some input, with room for an answer behind it.

    Raises:
        ModelError: the tokenizer ends every text with a special token.
    """
    text = pipeline.render(PROBE)
    ids = pipeline.ids([PROBE])[0][0]
    if ids[-1] != pipeline.backend.encode(text, add_special_tokens=False).ids[-1]:
        last = pipeline.tokenizer.convert_ids_to_tokens([ids[-1]])[0]
        raise ModelError(
            f"the RM's tokenizer ends every text with {last}, where its answer should come next. "
            "Set chat = true in the [rm] table, or save the tokenizer without it"
        )
    return ids, text


def lm_head(model: PreTrainedModel) -> tuple[torch.nn.Module, float | None]:
    """The module that gives the logits of every token, and the cap on them where the model has one.

    Raises:
        ModelError: the model has none, or does something else with its logits, too.
    """
    whole: Any = model
    head = whole.get_output_embeddings()
    if head is None:
        raise ModelError(f"{type(model).__name__} has no token logits; give a causal LM")
    cap = getattr(whole.config.get_text_config(), "final_logit_softcapping", None)
    return head, None if cap is None else float(cap)


def read_next_token(model: PreTrainedModel, probe: Sequence[int], head: AnswerHead, answers: Sequence[int]) -> None:
    """Put ``head`` where ``CausalRewardModel`` looks for a score, in place of the logits of every token.

    ``probe`` are the ids of a text on which the model's own logits have to be what the head gives.

    Raises:
        ModelError: it scales them in a way that is not known here.
    """
    whole: Any = model
    ids = torch.tensor([list(probe)], device=whole.device)
    with torch.inference_mode():
        own = whole(input_ids=ids).logits[0, -1, list(answers)].float()
        ours = head.logits(whole.base_model(input_ids=ids).last_hidden_state[0, -1])
    require_close(own, ours, model)
    whole.score = head
    whole.set_output_embeddings(torch.nn.Identity())  # thousands of logits that nobody reads


def require_close(own: torch.Tensor, ours: torch.Tensor, model: PreTrainedModel) -> None:
    """Refuse an LM whose own logits are not its output embedding times its hidden states.

    Raises:
        ModelError: it scales them in a way that is not known here.
    """
    if not torch.allclose(own, ours, rtol=PROBE_TOLERANCE, atol=PROBE_TOLERANCE):
        raise ModelError(
            f"{type(model).__name__} scales its logits in a way that is not known here. Ask it as a judge that writes: "
            "rm.kind = 'judge' with readout 'text'"
        )
