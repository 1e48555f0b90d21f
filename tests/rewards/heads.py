"""Tiny reward models whose head is none of transformers', saved in the layout that such checkpoints have.

``plain`` is the reward by plain torch and transformers, from the stored tensors: it shares no code with the adapter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from miner.rewards.base import Pair
from tests.rewards.conformance import Rewards, inputs_of
from tests.rewards.models import ARCHITECTURES, PAIRS, SPREAD

Hidden = torch.Tensor  # (n_tokens, size)
Read = Callable[[Hidden, Sequence[int]], torch.Tensor]


def last(hidden: Hidden, ids: Sequence[int]) -> torch.Tensor:
    del ids
    return hidden[-1]


@dataclass(frozen=True, kw_only=True)
class Built:
    """``layers`` are the head's linear layers by name, as (outputs, bias); ``prefix`` is the backbone's in the file."""

    architecture: str = "llama"
    prefix: str = "model."
    layers: Mapping[str, tuple[int, bool]] = field(default_factory=lambda: {"v_head": (1, False)})
    activation: Callable[[torch.Tensor], torch.Tensor] = torch.relu
    weighting: tuple[float, ...] = (1.0,)
    read: Read = last
    config: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # tensors that belong to no head
    append: int | None = None

    def save(self, folder: Path) -> Path:
        with torch.random.fork_rng():
            torch.manual_seed(11)
            model, tokenizer = ARCHITECTURES[self.architecture]()
            backbone: Any = model.base_model.float().eval()
            size = backbone.config.hidden_size
            tensors = {f"{self.prefix}{name}": value for name, value in backbone.state_dict().items()}
            for name, (outputs, bias) in self.layers.items():
                tensors[f"{name}.weight"] = torch.randn(outputs, size)
                if bias:
                    tensors[f"{name}.bias"] = torch.randn(outputs)
                size = outputs
            tensors |= {name: torch.randn(shape) for name, shape in self.extra.items()}
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save_pretrained(folder)
        backbone.config.save_pretrained(folder)
        backbone.save_pretrained(folder)  # its config; the weights are written anew below
        edit(
            folder / "config.json",
            **{"architectures": ["RewardModel"], "id2label": None, "label2id": None, **self.config},
        )
        self._write(folder, tensors)
        spread = np.ptp(self.plain(folder, PAIRS))
        *_, final = self.layers
        for name in (f"{final}.weight", f"{final}.bias"):
            if name in tensors:
                tensors[name] = tensors[name] * SPREAD / spread
        self._write(folder, tensors)
        return folder

    def _write(self, folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
        whole = {name: value.clone().contiguous() for name, value in tensors.items()}
        save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})

    def plain(self, folder: Path, pairs: Sequence[Pair], template: str | None = None) -> Rewards:
        """Rewards from the stored tensors, one text at a time."""
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        if template is not None:
            tokenizer.chat_template = template
        tensors = load_file(folder / "model.safetensors")
        kind: Any = type(ARCHITECTURES[self.architecture]()[0].base_model)
        backbone: Any = kind(kind.config_class.from_pretrained(folder)).float().eval()
        mine = {name: value for name, value in tensors.items() if name.startswith(self.prefix)}
        own = set(backbone.state_dict())
        backbone.load_state_dict(
            {name.removeprefix(self.prefix): v for name, v in mine.items() if name.removeprefix(self.prefix) in own}
        )
        return np.array([self._reward(backbone, tensors, tokenizer, pair) for pair in pairs])

    def _reward(self, backbone: Any, tensors: Mapping[str, torch.Tensor], tokenizer: Any, pair: Pair) -> float:
        inputs = dict(inputs_of(tokenizer, pair))
        ids = inputs["input_ids"]
        if self.append is not None and int(ids[0, -1]) != self.append:
            ids = torch.cat([ids, torch.tensor([[self.append]])], dim=1)
            inputs = {"input_ids": ids}
        with torch.no_grad():
            hidden = self.read(backbone(**inputs).last_hidden_state[0], ids[0].tolist())
            for n, name in enumerate(self.layers):
                hidden = torch.nn.functional.linear(hidden, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))
                hidden = self.activation(hidden) if n + 1 < len(self.layers) else hidden
        return float(hidden @ torch.tensor(self.weighting))


def edit(file: Path, **changes: Any) -> None:
    """Change entries of a JSON file; None drops one."""
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
