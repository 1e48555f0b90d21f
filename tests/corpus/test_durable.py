"""Publishing step by step: what a kill or a power cut finds at each of them. (SIGKILLs at random: the drills.)"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corpus import CorpusWriteError
from corpus.durable import TEMPORARY_PREFIX, publish_bytes, publish_folder, replace_file

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

    for name in ("write", "fsync", "replace"):
        monkeypatch.setattr(os, name, spy(name))
    path = publish_bytes(tmp_path, NAME, CONTENT)
    assert steps == ["write", "fsync", "replace", "fsync folder"]
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("last_step", ["write", "fsync", "replace"])
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
@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
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


def test_a_name_whose_content_was_damaged_is_made_whole_by_publishing_it_again(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT[:100])
    assert publish_bytes(tmp_path, NAME, CONTENT).read_bytes() == CONTENT


def refusing(code: int, **attributes: int) -> Callable[..., Any]:
    def refused(*_: Any, **__: Any) -> None:
        error = OSError(code, os.strerror(code))
        error.__dict__.update(attributes)
        raise error

    return refused


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, None])
def test_no_hard_links_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None) -> None:
    if code is None:
        monkeypatch.delattr(os, "link")
    else:
        monkeypatch.setattr(os, "link", refusing(code))
    assert publish_bytes(tmp_path, NAME, CONTENT).read_bytes() == CONTENT
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]


def on_folders_only(real: Callable[..., Any], failing: Callable[..., Any]) -> Callable[..., Any]:
    """What a system does that has no such call for folders."""

    def call(what: Any, *arguments: Any) -> Any:
        mode = os.fstat(what).st_mode if isinstance(what, int) else os.stat(what).st_mode if os.path.exists(what) else 0
        return failing() if stat.S_ISDIR(mode) else real(what, *arguments)

    return call


@pytest.mark.parametrize(
    ("call", "code"),
    [("open", errno.EACCES), ("fsync", errno.EINVAL), ("fsync", errno.ENOTSUP), ("fsync", errno.EBADF)],
)
def test_a_system_that_syncs_no_folders_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY")
    monkeypatch.setattr(os, call, on_folders_only(getattr(os, call), refusing(code)))
    assert publish_bytes(tmp_path / "made" / "here", NAME, CONTENT).read_bytes() == CONTENT


def test_a_disk_that_fails_to_sync_a_folder_is_no_such_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", on_folders_only(os.fsync, refusing(errno.EIO)))
    with pytest.raises(CorpusWriteError, match="Input/output error"):
        publish_bytes(tmp_path, NAME, CONTENT)


def test_windows_is_told_to_leave_line_breaks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    real = os.open

    def spy(path: Any, flag: int, *mode: int) -> int:
        flags.append(flag)
        return real(path, flag & ~os.O_BINARY, *mode)  # type: ignore[attr-defined]

    monkeypatch.setattr(os, "O_BINARY", 1 << 30, raising=False)
    monkeypatch.setattr(os, "open", spy)
    publish_bytes(tmp_path, NAME, CONTENT)
    assert [bool(flag & 1 << 30) for flag in flags if flag & os.O_CREAT] == [True]


@pytest.mark.parametrize("winerror", [5, 32])
def test_what_another_process_has_open_on_windows_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, winerror: int
) -> None:
    real, left = os.replace, [refusing(errno.EACCES, winerror=winerror)] * 3

    def replace(*arguments: Any) -> object:
        return left.pop()() if left else real(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    monkeypatch.setattr(os, "replace", refusing(errno.EACCES))  # no permission at all: not tried again
    left.append(refusing(errno.EIO))
    with pytest.raises(PermissionError):
        replace_file(tmp_path / "a", b"newer")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        publish_folder(tmp_path / "model", fill)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("renames_over_empty_folders", [True, False])
def test_an_empty_folder_is_filled_and_one_that_holds_something_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames_over_empty_folders: bool
) -> None:
    real = os.rename

    def as_on_windows(source: Path, target: Path) -> None:
        if target.exists():
            raise FileExistsError(errno.EEXIST, "exists")
        real(source, target)

    if not renames_over_empty_folders:
        monkeypatch.setattr(os, "rename", as_on_windows)
    target = tmp_path / "model"
    target.mkdir()
    assert publish_folder(target, lambda folder: (folder / "a").touch())
    assert not publish_folder(target, lambda folder: (folder / "b").touch())
    assert [entry.name for entry in target.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [target]


def test_folders_of_killed_makers_go_after_a_day_and_not_before(tmp_path: Path) -> None:
    ages_h = {"hours": 5, "days": 30}
    for name, age_h in ages_h.items():
        (tmp_path / f"{TEMPORARY_PREFIX}{name}").mkdir()
        (tmp_path / f"{TEMPORARY_PREFIX}{name}" / "weights").touch()
        os.utime(tmp_path / f"{TEMPORARY_PREFIX}{name}", (time.time() - 3600 * age_h,) * 2)
    publish_folder(tmp_path / "model", lambda folder: (folder / "weights").touch())
    assert {entry.name for entry in tmp_path.iterdir()} == {"model", f"{TEMPORARY_PREFIX}hours"}
