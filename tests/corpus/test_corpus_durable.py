"""Publishing step by step: what a kill or a power cut finds at each of them. (SIGKILLs at random: the drills.)"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corpus import CorpusWriteError
from corpus.durable import TEMPORARY_PREFIX, publish_bytes

CONTENT = b"0123456789" * 1000
NAME = "segment.parquet"


class Killed(BaseException):
    """The end of the process."""


def test_the_content_is_on_the_disk_before_it_has_a_name_and_the_name_before_we_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def spy(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def step(*arguments: Any) -> Any:
            on_folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            steps.append("fsync folder" if on_folder else name)
            return real(*arguments)

        return step

    for name in ("write", "fsync", "link"):
        monkeypatch.setattr(os, name, spy(name))
    path = publish_bytes(tmp_path, NAME, CONTENT)
    assert steps == ["write", "fsync", "link", "fsync folder"]
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("last_step", ["write", "fsync", "link"])
def test_a_kill_at_any_step_leaves_no_visible_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_step: str
) -> None:
    write = os.write

    def killed(*arguments: Any) -> None:
        if last_step == "write":
            write(arguments[0], CONTENT[:5000])
        raise Killed

    monkeypatch.setattr(os, last_step, killed)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process cleans nothing up
    with pytest.raises(Killed):
        publish_bytes(tmp_path, NAME, CONTENT)
    assert all(entry.name.startswith(TEMPORARY_PREFIX) for entry in tmp_path.iterdir())


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:777]))
    assert publish_bytes(tmp_path, NAME, CONTENT).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "disk full"), (errno.EDQUOT, "disk full"), (errno.EROFS, "Read-only")]
)
@pytest.mark.parametrize("step", ["write", "fsync", "link"])
def test_a_refused_step_is_reported_and_cleaned_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, message: str
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, refused)
    with pytest.raises(CorpusWriteError, match=message):
        publish_bytes(tmp_path, NAME, CONTENT)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    publish_bytes(tmp_path, NAME, CONTENT)
    before = (tmp_path / NAME).stat()
    publish_bytes(tmp_path, NAME, CONTENT)
    assert (tmp_path / NAME).stat().st_ino == before.st_ino
