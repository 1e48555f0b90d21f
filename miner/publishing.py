"""Files that others may be reading: each is replaced in one step, never half written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from miner.errors import DataError

T = TypeVar("T")


def replace_text(path: Path, text: str) -> Path:
    """``text`` as the whole content of ``path``, its folder made where it lacks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def read_stored(path: Path, kind: type[T], what: str) -> T | None:
    """The dataclass ``kind`` that the JSON file holds; None where there is no file.

    Raises:
        DataError: it cannot be read, or is not ``what`` of this version.
    """
    from pydantic import TypeAdapter, ValidationError

    if not path.exists():
        return None
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise DataError(f"{path} is not {what} of this version: {error.errors()[0]['msg']}") from error
