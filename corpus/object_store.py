"""An object store as far as this program needs one: whole objects, each created once, listed, read, never changed.

Nothing is appended to, renamed, overwritten or deleted. To create is one conditional put: of several writers of one
name the first wins, and each learns whether it was there before. A put whose reply was lost is tried again, and is
then told that the object exists: who creates an object named after its content takes that for success.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import Any, TypeVar

from corpus.errors import CorpusError, CorpusReadError, CorpusWriteError
from corpus.locations import Location, without_secrets

T = TypeVar("T")

PAUSES_S = (0.1, 0.3, 1.0, 3.0, 8.0, 15.0, 30.0)  # a minute of outage is waited out
MIN_VERSIONS = {"s3": ("s3fs", "2025.7.0"), "s3a": ("s3fs", "2025.7.0")}
"""Before it s3fs overwrote small files that it was asked to create."""
_LASTING = (FileNotFoundError, PermissionError, NotImplementedError, ImportError, ValueError, TypeError, CorpusError)


@dataclass(frozen=True)
class Listing:
    """Names directly below a prefix: of objects, and of what holds some further down."""

    objects: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectStore:
    """The objects below ``location``, by their name relative to it. Nothing is asked before it is used."""

    location: Location

    @property
    def url(self) -> str:
        return self.location.url

    def create(self, name: str, content: bytes) -> bool:
        """Makes the object unless there is one of that name; True where it was made.

        Raises:
            CorpusWriteError: the store refused, or a minute of trying again did not help.
        """

        def put() -> bool:
            try:
                self._fs.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            return True

        try:
            return _persisted(put)
        except Exception as error:
            raise self._refused(error, CorpusWriteError) from error

    def read(self, name: str) -> bytes | None:
        """The object's content; None where there is none.

        Raises:
            CorpusReadError: the store refused, or a minute of trying again did not help.
        """
        try:
            content: bytes = _persisted(lambda: self._fs.cat_file(self._path(name)))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._refused(error, CorpusReadError) from error
        return content

    def list(self, folder: str = "") -> Listing:
        """What lies directly below ``folder``. A store may list an object some time after it was made. Errors as
        ``read``."""
        try:
            path = self._path(folder)
            found = _persisted(lambda: self._fs.ls(path, detail=True))
        except (FileNotFoundError, NotADirectoryError):
            return Listing()
        except Exception as error:
            raise self._refused(error, CorpusReadError) from error
        below = [one for one in found if one["name"].strip("/") != path.strip("/")]
        names = [(one["name"].rstrip("/").rpartition("/")[2], one["type"]) for one in below]
        return Listing(
            objects=tuple(sorted(name for name, kind in names if kind == "file")),
            folders=tuple(sorted(name for name, kind in names if kind == "directory")),
        )

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        import fsspec

        _require_version(self.location.protocol)
        fs, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        if not _creates(fs):
            raise NotImplementedError(
                f"{self.location.protocol}:// cannot create an object only where there is none; "
                "expected s3://, gs:// or abfs://, or a folder"
            )
        return fs, str(root).rstrip("/")

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _refused(self, error: Exception, kind: type[CorpusError]) -> CorpusError:
        """What the user is told: the store, the library's first line without secrets, and what to do."""
        done = "write to" if kind is CorpusWriteError else "read"
        if isinstance(error, ImportError):
            said, advice = without_secrets(str(error)), "Install that, into the environment that rmminer is in"
        elif isinstance(error, FileNotFoundError):
            said, advice = "there is no such bucket or container", "Create it, or correct its name"
        elif isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
            said = without_secrets(str(error)) or "permission denied"
            advice = f"Its library found no credentials that may {'write' if done != 'read' else 'read'} there"
        else:
            said = f"{type(error).__name__}: {without_secrets(str(error))}"
            advice = "What was acknowledged before is intact; run the same command again to resume"
        return kind(f"cannot {done} {self.url}: {said}. {advice}")


def _persisted(step: Callable[[], T]) -> T:
    """Does ``step``, again after a while where it fails for what may pass."""
    for pause_s in PAUSES_S:
        try:
            return step()
        except _LASTING:
            raise
        except Exception as error:
            if "Credentials" in type(error).__name__:
                raise
            time.sleep(pause_s * random.uniform(0.5, 1.5))
    return step()


def _require_version(protocol: str) -> None:
    if protocol in MIN_VERSIONS:
        package, least = MIN_VERSIONS[protocol]
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            return  # fsspec says what to install
        if _numbers(installed) < _numbers(least):
            raise ImportError(f"{package} {installed} may overwrite what is there. pip install -U '{package}>={least}'")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())


def _creates(fs: Any) -> bool:
    """Whether its class creates in one step: what fsspec's own base classes do is to look first, then to overwrite."""
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    if isinstance(fs, AsyncFileSystem):
        return type(fs)._pipe_file is not AsyncFileSystem._pipe_file
    return type(fs).pipe_file is not AbstractFileSystem.pipe_file
