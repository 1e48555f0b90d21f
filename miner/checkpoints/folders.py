"""A model's folder, wherever it comes from: as it is on this machine, or downloaded from a hub at a revision."""

from __future__ import annotations

from pathlib import Path

from miner.checkpoints.smollm2 import SMOLLM2, smollm2_folder
from miner.errors import ModelError

DOWNLOADED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "*.py"]
LEFT_OUT = ["consolidated*", "*/*.safetensors"]  # the same weights once more, in other layouts
GGUF = ".gguf"
FULL = "Give the safetensors that it was made from"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.tiktoken")


def resolve_folder(source: str, revision: str | None) -> Path:
    """SmolLM2 by its name; a local folder as it is; a hub id as its downloaded snapshot, weights in safetensors only.

    Raises:
        ModelError: neither; the message says what to try.
    """
    if source == SMOLLM2 and revision is None:
        return smollm2_folder()
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ModelError(
                f"{source} is a folder on this machine and has no revisions; got revision {revision!r}. "
                "Take it out of the campaign file: rm.revision, policy.revision or reference_lm.revision"
            )
        return folder
    if folder.suffix.lower() == GGUF and folder.exists():
        raise ModelError(f"{source} is GGUF, which is not read. {FULL}")
    if folder.exists() or source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise ModelError(
            f"no model folder at {source}. Give a folder that save_pretrained wrote, or a hub id owner/name"
        )
    return _downloaded(source, revision)


def _downloaded(source: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=DOWNLOADED, ignore_patterns=LEFT_OUT))
    except Exception as error:  # the hub's errors and its HTTP client's have no base of their own
        at = f" at revision {revision!r}" if revision else ""
        raise ModelError(
            f"no model {source!r}{at}: no folder here, and the hub did not give it ({first_line(error)}). "
            "Check the name, the network, or give a folder"
        ) from error


def require_safetensors(folder: Path) -> None:
    """Refuse a folder without safetensors: what unpickling runs is anybody's guess.

    Raises:
        ModelError: pickled weights only, or none.
    """
    if any(folder.glob("*.safetensors")):
        return
    if any(file for pattern in PICKLED for file in folder.glob(pattern)):
        raise ModelError(
            f"{folder} has pickled weights only, which can run code when read. Convert them where you trust them: "
            "load with transformers, then save_pretrained"
        )
    if any(folder.glob(f"*{GGUF}")):
        raise ModelError(f"{folder} holds GGUF, which is not read. {FULL}")
    if below := _folders_with_weights(folder):
        more = f" (and {len(below) - 1} more)" if len(below) > 1 else ""
        raise ModelError(f"{folder} holds no *.safetensors weights; {below[0].name} in it does{more}. Give {below[0]}")
    raise ModelError(f"{folder} holds no *.safetensors weights. Give a folder that save_pretrained wrote")


def _folders_with_weights(folder: Path) -> list[Path]:
    """Folders in this one that hold weights, a trainer's newest checkpoint first."""
    below = {file.parent for file in folder.glob("*/*.safetensors")}
    return sorted(below, key=lambda one: (max(file.stat().st_mtime_ns for file in one.glob("*.safetensors")), one.name),
                  reverse=True)  # fmt: skip


def require_tokenizer(folder: Path) -> None:
    """Refuse a folder without a tokenizer's files, for which transformers makes up an empty one.

    Raises:
        ModelError: there are none.
    """
    if not has_tokenizer(folder):
        raise ModelError(f"no fast tokenizer in {folder}. Save one beside the model: tokenizer.json")


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer's files."""
    return any(file for pattern in TOKENIZERS for file in folder.glob(pattern))


def first_line(error: BaseException) -> str:
    """What a library says first: its first line, and the next where the first only announces it (ends in a colon).

    Errors whose text is nothing or a bare name ("'score'") come with their type.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    first = f"{lines[0]} {lines[1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    return f"{type(error).__name__}: {first}" if isinstance(error, KeyError | AssertionError) else first
