"""Tiny models that come as Python files beside their weights, with forwards that return what such models return."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from miner.rewards.base import Pair
from tests.rewards.conformance import Rewards, inputs_of
from tests.rewards.heads import edit
from tests.rewards.models import PAIRS, SPREAD, llama

CODE = """
import torch
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class TinyConfig(LlamaConfig):
    model_type = "tiny_reward"


class TinyRewardModel(LlamaPreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.regression_layer = torch.nn.Linear(config.hidden_size, config.n_values, bias=False)
        self.gating = torch.nn.Linear(config.hidden_size, config.n_values)
        self.post_init()

    def get_input_embeddings(self):
        if self.config.returns == "no_embeddings":
            raise NotImplementedError
        return self.model.embed_tokens

    def forward(self, input_ids, attention_mask=None):
        returns = self.config.returns
        with torch.set_grad_enabled(torch.is_grad_enabled() and returns != "no_grad"):
            hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            if attention_mask is None:
                attention_mask = torch.ones_like(input_ids)
            ends = attention_mask.cumsum(1).argmax(1)
            last = hidden[torch.arange(len(hidden)), ends]
            values = self.regression_layer(last)
            score = (values * self.gating(hidden[:, 0]).softmax(1)).sum(1)
        if returns == "tensor":
            return score
        if returns == "column":
            return score[:, None]
        if returns == "tuple":
            return (hidden, score)
        if returns == "dict":
            return {"end_scores": score[:, None], "scores": self.regression_layer(hidden)}
        if returns == "per_token":
            return SequenceClassifierOutput(logits=self.regression_layer(hidden)[..., 0])
        if returns == "crash":
            raise ValueError("Token pattern not found in the list.")
        if returns == "gated_logits":
            return SequenceClassifierOutput(logits=score[:, None])
        output = SequenceClassifierOutput(logits=values)
        output.score, output.rewards = score, values
        return output
"""


def save(folder: Path, returns: str, *, pad: int | None = 0, auto_class: str = "AutoModel", n_values: int = 3) -> Path:
    """A tiny reward model of its own code whose forward returns its reward as ``returns`` says."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model, tokenizer = llama()
        backbone: Any = model.base_model
        tensors = {f"model.{name}": value for name, value in backbone.state_dict().items()}
        tensors["regression_layer.weight"] = torch.randn(n_values, 32)
        tensors["gating.weight"], tensors["gating.bias"] = torch.randn(n_values, 32), torch.randn(n_values)
    tokenizer.save_pretrained(folder)
    backbone.config.save_pretrained(folder)
    (folder / "modeling_tiny.py").write_text(CODE, encoding="utf-8")
    auto = {"AutoConfig": "modeling_tiny.TinyConfig", auto_class: "modeling_tiny.TinyRewardModel"}
    edit(
        folder / "config.json", model_type="tiny_reward", auto_map=auto, n_values=n_values, returns=returns,
        pad_token_id=pad, id2label={0: "helpful", 1: "correct", 2: "brief"},
    )  # fmt: skip
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    spread = np.ptp(plain(folder, PAIRS))
    tensors["regression_layer.weight"] = tensors["regression_layer.weight"] * SPREAD / spread
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def plain(
    folder: Path, pairs: Sequence[Pair], weighting: Sequence[float] | None = None, append: str | None = None
) -> Rewards:
    """Rewards from the stored tensors by plain torch: the gated score, or the values weighed."""
    tensors = load_file(folder / "model.safetensors")
    tokenizer: Any = hf.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    config = hf.LlamaConfig.from_dict({**hf.LlamaConfig.get_config_dict(folder)[0], "model_type": "llama"})
    backbone: Any = hf.LlamaModel(config).eval()
    mine = {name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")}
    backbone.load_state_dict(mine)
    found = []
    for pair in pairs:
        with torch.no_grad():
            ids = inputs_of(tokenizer, pair)["input_ids"]
            ids = (
                ids
                if append is None
                else torch.cat([ids, torch.tensor([[tokenizer.convert_tokens_to_ids(append)]])], dim=1)
            )
            hidden = backbone(input_ids=ids).last_hidden_state[0]
            values = tensors["regression_layer.weight"] @ hidden[-1]
            gates = (tensors["gating.weight"] @ hidden[0] + tensors["gating.bias"]).softmax(0)
            weights = gates if weighting is None else torch.tensor(weighting)
            found.append(float(values @ weights))
    return np.array(found)
