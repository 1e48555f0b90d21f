"""An object store on loopback's terms: a folder behind fsspec that fails, delays, loses replies and lists late.

Run as a program, this file is a worker of the mining drill on it: ``faulty_file_system.py URL [i/n]``.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem

ME = Path(__file__).resolve()
PROTOCOL = "faulty"


class FaultyFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """``faulty://tmp/x`` is ``/tmp/x``. Class attributes say how bad it is."""

    protocol = PROTOCOL
    cachable = False
    fails = 0.1
    loses_reply = 0.05
    delay_s = 0.01
    late_s = 0.5
    overwrites = False
    read_only = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + str(path).removeprefix(f"{PROTOCOL}://").strip("/")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        self._trouble(self.fails)
        if self.read_only:
            raise PermissionError("AccessDenied")
        target = Path(self._strip_protocol(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{os.getpid()}-{random.getrandbits(64):x}"
        temporary.write_bytes(value)
        try:
            if mode != "create" or self.overwrites:
                os.replace(temporary, target)
            else:
                os.link(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        self._trouble(self.loses_reply)

    def cat_file(self, path: str, *_: Any, **__: Any) -> bytes:
        self._trouble(self.fails)
        return Path(self._strip_protocol(path)).read_bytes()

    def ls(self, path: str, **_: Any) -> list[Any]:
        self._trouble(self.fails)
        entries = [one for one in Path(self._strip_protocol(path)).iterdir() if not one.name.startswith(".")]
        seen = [one for one in entries if one.is_dir() or time.time() - one.stat().st_mtime > self.late_s]
        return [{"name": str(one), "type": "directory" if one.is_dir() else "file", "size": 0} for one in seen]

    def _trouble(self, share: float) -> None:
        time.sleep(random.uniform(0, 2 * self.delay_s))
        if random.random() < share:
            raise ConnectionError("SlowDown: reduce your request rate")


def register() -> None:
    fsspec.register_implementation(PROTOCOL, FaultyFileSystem, clobber=True)


if __name__ == "__main__":
    register()
    from miner.searching.shards import WHOLE, shard_of
    from scripts.drills import mining

    mining.mine(sys.argv[1], shard_of(sys.argv[2], {}) if len(sys.argv) > 2 else WHOLE)
