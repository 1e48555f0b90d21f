"""Process RMs: every step of a response has a score, read at the tag behind it; the reward is that of the last step.

Lightman et al. 2023 (arXiv:2305.20050) take the product of the steps' probabilities, Math-Shepherd (Wang et al. 2023,
arXiv:2312.08935) the least: both can be asked for. Scores are log-odds, which order texts as probabilities do but do
not flatten near 0 and 1; the product's is a log-probability.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from miner.errors import ModelError
from miner.rewards.answers import AnswerHead, Contrast, answer_tokens, lm_head, read_next_token
from miner.rewards.assembling import Parts, assemble, auto_class
from miner.rewards.causal import CausalRewardModel
from miner.rewards.pipeline import Row
from miner.rewards.prefix_cache import Ids, accepts, padded
from miner.rewards.template_pipeline import PROBE, StepsPipeline
from miner.rm_tables import ProcessSection, RewardModelSection

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

CAUSAL = "AutoModelForCausalLM"
AUTOS = (CAUSAL, "AutoModelForTokenClassification", "AutoModel")


@dataclass(kw_only=True, eq=False)
class ProcessRewardModel(CausalRewardModel):
    """A decoder whose ``score`` gives log-odds at every token ``step_id``."""

    step_id: int
    reduce: Literal["last", "min", "product"]
    read_as: tuple[object, ...]
    is_trainable = False
    can_truncate = False

    def head_identity(self) -> list[object]:
        return [type(self.model).__name__, "steps", self.step_id, self.reduce, *self.read_as]

    def steps_at(self, ids: Ids) -> list[int]:
        """Indices of the tags."""
        return [i for i, token in enumerate(ids) if token == self.step_id]

    def read_at(self, ids: Ids) -> int:
        return self.steps_at(ids)[-1]

    def _logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        tagged = [i for i, (ids, _) in enumerate(rows) if self.step_id in ids]
        if len(tagged) < len(rows):  # a response that its tag melts into has no step
            values = torch.full((len(rows),), torch.nan, device=model.device)
            if tagged:
                values[tagged] = self._logits(model, [rows[i] for i in tagged]).to(values)
            return values
        if self.reduce == "last":
            return super()._logits(model, rows, groups)
        whole: Any = model
        ids, mask, positions = padded(
            [ids for ids, _ in rows], pad=self.pad_id, left=self.left_padding, device=model.device
        )
        where = {"position_ids": positions} if accepts(whole.base_model, "position_ids") else {}
        out = whole.base_model(input_ids=ids, attention_mask=mask, use_cache=False, **where)
        scores = whole.score(out.last_hidden_state)[..., 0]  # (n_rows, longest)
        is_step = (ids == self.step_id) & mask.bool()
        if self.reduce == "min":
            reduced: torch.Tensor = scores.masked_fill(~is_step, torch.inf).amin(1)
        else:
            reduced = torch.nn.functional.logsigmoid(scores).masked_fill(~is_step, 0.0).sum(1)
        return reduced


def load_process(section: RewardModelSection, source: str) -> ProcessRewardModel:
    """The process RM of ``section``.

    Raises:
        ModelError: see ``assemble``; answers or a step tag that are not one token, other than two labels.
    """
    asked = section.process
    assert asked is not None

    def auto_of(config: PreTrainedConfig) -> Any:
        auto = auto_class(config, AUTOS)
        if auto.__name__ != CAUSAL and config.num_labels != 2:
            raise ModelError(f"{source} has {config.num_labels} labels; a process RM has two, for good steps and bad")
        return auto

    rm = assemble(section, source, auto_of, lambda parts: _process(parts, asked))
    assert isinstance(rm, ProcessRewardModel)
    return rm


def _process(parts: Parts, asked: ProcessSection) -> ProcessRewardModel:
    if asked.template is None and not parts.tokenizer.chat_template:
        raise ModelError(
            f"{parts.folder} has no chat template; give rm.process.template, with {{prompt}} and {{response}}"
        )
    pipeline = StepsPipeline(
        tokenizer=parts.tokenizer,
        max_length=parts.max_length,
        adds_special=asked.template is not None,
        template=asked.template,
        split=asked.split,
        tag=asked.tag,
    )
    step_id = _step_token(pipeline, asked)
    whole: Any = parts.model
    if getattr(whole, "score", None) is not None:
        labels = [asked.good_label, 1 - asked.good_label]
        for model in parts.models:
            _score_by(model, labels)
        read_as: tuple[object, ...] = ("labels", *labels)
    else:
        tokens = answer_tokens(parts.tokenizer, asked.tag.rstrip(), asked.answers, "rm.process.answers")
        ids = pipeline.ids([PROBE])[0][0]
        for model in parts.models:
            read_next_token(model, ids, Contrast(*lm_head(model), tokens), tokens)
        read_as = ("contrast", *tokens)
    return ProcessRewardModel(
        **parts.fields(), pipeline=pipeline, step_id=step_id, reduce=asked.reduce, read_as=read_as
    )


def _score_by(model: PreTrainedModel, labels: Sequence[int]) -> None:
    whole: Any = model
    head: AnswerHead = Contrast(whole.score, None, labels)
    whole.score = head


def _step_token(pipeline: StepsPipeline, asked: ProcessSection) -> int:
    """The token at which a step's score is read.

    Raises:
        ModelError: the tag is no token of its own or several, and none of them is the one named.
    """
    text = pipeline.render(PROBE)
    encoding = pipeline.backend.encode(text, add_special_tokens=pipeline.adds_special)
    at = text.index(PROBE.response) + len(PROBE.response)
    inside = {
        text[start:end].strip(): token
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if at <= start < end <= at + len(asked.tag)
    }
    wanted = asked.step_token.strip() if asked.step_token else None
    if wanted is None and len(inside) == 1:
        return int(*inside.values())
    if wanted in inside:
        return int(inside[wanted])
    got = ", ".join(map(repr, inside)) or "none of its own"
    expected = f"{wanted!r} among them" if wanted else "one"
    raise ModelError(
        f"rm.process.tag {asked.tag!r} has as tokens {got}; expected {expected}. "
        "Give another tag, or name its token in rm.process.step_token"
    )
