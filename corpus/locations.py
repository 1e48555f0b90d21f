"""Where something lies: a folder, or a prefix of an object store named by an fsspec URL (``s3://bucket/run``).

A URL here never carries credentials: the store's library finds them where it always does (environment, profile, role).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import CorpusReadError

# A ``Path`` of a URL has lost a slash. One letter before the colon is a drive of Windows.
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/{1,3}(.*)", re.DOTALL)
_USER_IS_CONTAINER = ("abfs", "abfss")  # abfs://container@account.dfs.core.windows.net/path
_SECRETS = re.compile(r"(?i)\b(x-amz-[a-z-]+|awsaccesskeyid|signature|sig|token|password|secret)(=|%3d)[^&\s'\"]+")
_USER = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class Location:
    """A prefix of an object store: its protocol, and the bucket (or container) with the path in it."""

    protocol: str
    path: str

    @property
    def url(self) -> str:
        return f"{self.protocol}://{self.path}"


def location_of(place: str | Path) -> Location | None:
    """The prefix that a URL names; None where ``place`` is a path. ``file://`` is one: see ``path_of``.

    Raises:
        CorpusReadError: it carries a password, a query or a chain of file systems, or names no bucket.
    """
    found = _URL.fullmatch(str(place))
    if found is None or found[1].lower() in ("file", "local"):
        return None
    protocol, path = found[1].lower(), found[2].strip("/")
    first = path.partition("/")[0]
    if "@" in first and (":" in first or protocol not in _USER_IS_CONTAINER):
        raise CorpusReadError(
            f"a URL may not carry credentials: {protocol}://…@{first.rpartition('@')[2]}. Leave them out; the store's "
            "library reads them from the environment or its own configuration"
        )
    if "::" in path or "?" in path or "#" in path:
        raise CorpusReadError(f"{protocol}://{first}/… is no plain address: expected {protocol}://BUCKET/PATH")
    if not path:
        raise CorpusReadError(f"{protocol}:// names no bucket: expected {protocol}://BUCKET/PATH")
    return Location(protocol, re.sub("/{2,}", "/", path))


def path_of(place: str | Path) -> Path:
    """A path, with ``file://`` before it or not."""
    found = _URL.fullmatch(str(place))
    return Path("/" + found[2].lstrip("/") if os.name != "nt" else found[2].lstrip("/")) if found else Path(place)


def cache_folder() -> Path:
    """Where digests and trained models are kept: ``$RMMINER_CACHE``, or ``rmminer`` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rmminer"
    return Path(os.environ.get("RMMINER_CACHE") or default).expanduser()  # a variable that is empty is not set


def without_secrets(text: str) -> str:
    """``text``, a library's message, on one line and without what looks like a credential or a signature."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return _SECRETS.sub(r"\1=…", _USER.sub("…@", line))[:300]
