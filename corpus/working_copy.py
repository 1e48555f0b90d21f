"""The folder on this machine that stands for a prefix of an object store: all that reads paths goes on reading paths.

What is published goes to the store first and is then put into the folder, so that what is seen here is safe there.
What others published is fetched when it is looked for, and kept: nothing in the store ever changes.

=======================  ===========================================================================================
a file named by content  one object of that name
a file that changes      an object a version, ``name@<number>-<hash>.suffix``: the highest number counts, and of two
                         with one number the greater hash. No clock is asked
a published folder       ``name@<hash>/…``, then ``name@folder.json`` with the hash of each file. Only one can be the
                         first to create that, and its folder counts for all
``store.json``           who this prefix is: a folder here that was made of another is thrown away
=======================  ===========================================================================================

Hidden files and folders, and what is written without ``corpus.publishing``, stay on this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from corpus import durable
from corpus.errors import CorpusReadError, CorpusWriteError
from corpus.locations import Location, cache_folder, location_of, path_of
from corpus.object_store import ObjectStore

STORE = "store.json"
FOLDER = "@folder.json"
FETCHED_AT_ONCE = 16
_SEEN = ".store"  # in the folder: whose copy it is
_VERSION = re.compile(r"(?P<stem>.+)@(?P<number>\d{8})-(?P<hash>[0-9a-f]{32})(?P<suffix>\.[^.@]*)?")


@dataclass(frozen=True)
class WorkingCopy:
    """The folder ``path`` for the objects of ``store``."""

    path: Path
    store: ObjectStore
    _numbers: dict[str, int] = field(default_factory=dict)  # of the versions made here: lists may be late
    _made_sure: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Throws the folder away where it was made of what is no longer there. Errors as ``ObjectStore.read``."""
        content = self.store.read(STORE)
        seen = self.path / _SEEN
        now = content.decode() if content else ""
        before = seen.read_text(encoding="utf-8") if seen.exists() else ""
        if before and before != now:
            shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        if now:
            durable.replace_file(seen, now.encode())

    def require_writable(self) -> None:
        """Refuse a store that cannot be written to, or that overwrites what it is asked to create.

        Raises:
            CorpusWriteError: so it is.
        """
        if self._made_sure:
            return
        mine = json.dumps({"format": 1, "id": secrets.token_hex(16)}).encode()
        if self.store.create(STORE, mine) and self.store.create(STORE, mine):
            raise CorpusWriteError(
                f"{self.store.url} overwrites an object that it is asked to create only where there is none, so that "
                "two writers could not tell who was first. Expected conditional puts (If-None-Match)"
            )
        durable.replace_file(self.path / _SEEN, self.store.read(STORE) or b"")
        self._made_sure.append(self.store.url)

    def add(self, path: Path, content: bytes) -> None:
        """Makes a file that is named by its content, or that says who was first, safe in the store."""
        self.require_writable()
        self.store.create(self._name(path), content)

    def add_version(self, path: Path, content: bytes) -> None:
        """Makes ``content`` what the changing file says from now on."""
        self.require_writable()
        name = self._name(path)
        folder = name.rpartition("/")[0]
        newest = _newest(self.store.list(folder).objects).get(path.name)
        number = max(newest.number if newest else 0, self._numbers.get(name, 0))
        if newest is None or number > newest.number or newest.hash != _hash(content):
            made = _Version(path.name, number + 1, _hash(content))
            self.store.create(f"{folder}/{made.object_name}".lstrip("/"), content)
            self._numbers[name] = number + 1

    def add_folder(self, target: Path, made: Path) -> bool:
        """Makes the files of ``made`` those of the published folder ``target``; False where another was first."""
        self.require_writable()
        name = self._name(target)
        files = {one.relative_to(made).as_posix(): one for one in sorted(made.rglob("*")) if one.is_file()}
        hashes = {inner: _file_hash(path) for inner, path in files.items()}
        place = f"{name}@{_hash(json.dumps(hashes, sort_keys=True).encode())}"
        for inner, path in files.items():
            self.store.create(f"{place}/{inner}", path.read_bytes())
        manifest = json.dumps({"folder": place, "files": hashes}, indent=1, sort_keys=True).encode()
        # whose manifest it is decides, not the answer: that of a put that was tried again says "exists"
        return self.store.create(f"{name}{FOLDER}", manifest) or self.store.read(f"{name}{FOLDER}") == manifest

    def fill(self, target: Path, folder: Path) -> bool:
        """Puts the files of the published folder ``target`` into ``folder``; False where none was published.

        Raises:
            CorpusReadError: one is not what was published.
        """
        content = self.store.read(f"{self._name(target)}{FOLDER}")
        if content is None:
            return False
        manifest = json.loads(content)
        for inner, expected in manifest["files"].items():
            found = self.store.read(f"{manifest['folder']}/{inner}")
            if found is None or _hash(found) != expected:
                raise CorpusReadError(
                    f"{self.store.url}/{manifest['folder']}/{inner} is {'gone' if found is None else 'damaged'}; "
                    f"put a copy back there"
                )
            (folder / inner).parent.mkdir(parents=True, exist_ok=True)
            (folder / inner).write_bytes(found)
        return True

    def fetch_folder(self, target: Path) -> None:
        """Makes the published folder ``target`` be here, where there is one."""
        if not target.exists() and self.store.read(f"{self._name(target)}{FOLDER}") is not None:
            durable.publish_folder(target, lambda folder: self.fill(target, folder))

    def fetch(self, folder: Path, names: Collection[str] | None = None) -> tuple[str, ...]:
        """Makes what is new directly in ``folder`` be here: of the files with these ``names``, or of those that the
        store lists. Says which folders lie in it."""
        listing = self.store.list(self._name(folder))
        objects = listing.objects if names is None else tuple(names)
        versions = _newest(objects)
        plain = [one for one in objects if "@" not in one and one != STORE and not (folder / one).exists()]
        stale = [one for one in versions.values() if not one.is_in(folder)]
        wanted = [(one, folder / one) for one in plain] + [(one.object_name, folder / one.name) for one in stale]
        prefix = self._name(folder)
        with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
            contents = pool.map(lambda one: self.store.read(f"{prefix}/{one[0]}".lstrip("/")), wanted)
            for (_, path), content in zip(wanted, contents, strict=True):
                if content is not None:
                    durable.keep_file(path, content)
        folders = tuple(one for one in listing.folders if "@" not in one)
        for one in folders:
            (folder / one).mkdir(parents=True, exist_ok=True)
        return folders

    def fetch_all(self, folder: Path, without: Collection[str]) -> None:
        """``fetch`` of the folder and those in it, but for those with names in ``without``."""
        for name in self.fetch(folder):
            if name not in without:
                self.fetch_all(folder / name, without)

    def holds(self, path: Path) -> bool:
        """Whether ``path`` lies in this copy, and is not hidden."""
        return path.is_relative_to(self.path) and not any(
            part.startswith(".") for part in path.relative_to(self.path).parts
        )

    def url_of(self, path: Path) -> str:
        return f"{self.store.url}/{self._name(path)}".rstrip("/")

    def _name(self, path: Path) -> str:
        name = _absolute(path).relative_to(self.path).as_posix()
        return "" if name == "." else name


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of a changing file called ``name``."""

    name: str
    number: int
    hash: str

    @property
    def object_name(self) -> str:
        stem, dot, suffix = self.name.rpartition(".")
        stem, suffix = (stem, dot + suffix) if stem else (self.name, "")
        return f"{stem}@{self.number:08d}-{self.hash}{suffix}"

    def is_in(self, folder: Path) -> bool:
        try:
            return _hash((folder / self.name).read_bytes()) == self.hash
        except OSError:
            return False


_COPIES: dict[Path, WorkingCopy] = {}  # of this process, by folder


def located(place: str | Path) -> Path:
    """The folder of a path or URL: of an object store's the working copy, opened when it is first asked for.

    Raises:
        CorpusReadError: a URL with credentials, or a store that cannot be read.
    """
    location = location_of(place)
    if location is None:
        return path_of(place)
    path = _place_of(location)
    if path not in _COPIES:
        copy = WorkingCopy(path, ObjectStore(location))
        copy.open()
        _COPIES[path] = copy
    return path


def copy_of(path: Path) -> WorkingCopy | None:
    """The working copy that ``path`` lies in; None for one of an ordinary folder, or that stays here."""
    if not _COPIES:
        return None
    absolute = _absolute(path)
    return next((one for one in _COPIES.values() if one.holds(absolute)), None)


def fetched(path: Path) -> Path:
    """``path`` of a file, as new as the store has it."""
    fetched_from(path.parent)
    return path


def fetched_folder(path: Path) -> Path:
    """``path`` of a published folder, which is here from now on where there is one."""
    copy = copy_of(path)
    if copy is not None:
        copy.fetch_folder(path)
    return path


def fetched_from(folder: Path, names: Collection[str] | None = None) -> Path:
    """``folder`` with every file directly in it, or with these, as new as the store has them."""
    copy = copy_of(folder)
    if copy is not None:
        copy.fetch(folder, names)
    return folder


def fetched_all(folder: Path, without: Collection[str] = ()) -> Path:
    """``folder`` with what lies in it and below it, but for folders with names in ``without``."""
    copy = copy_of(folder)
    if copy is not None:
        copy.fetch_all(folder, without)
    return folder


def folders_in(folder: Path) -> frozenset[str]:
    """The names of the folders in ``folder``, those that only the store has too."""
    here = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set[str]()
    copy = copy_of(folder)
    return frozenset(here | set(copy.store.list(copy._name(folder)).folders) if copy else here)


def refuse_a_store(path: Path, what: str) -> None:
    """Refuse what deletes or renames, where ``path`` is a copy of what only ever grows.

    Raises:
        CorpusWriteError: so it is.
    """
    if (copy := copy_of(path)) is not None:
        url = copy.url_of(path)
        raise CorpusWriteError(
            f"cannot {what} {url}: nothing in a store is ever renamed or deleted. "
            f"Take it to a folder and do it there: rmminer corpus import FOLDER {url}"
        )


def shown(path: str | Path) -> str:
    """``path`` as a person knows it: by its URL where it is a copy's."""
    copy = copy_of(Path(path))
    return str(path) if copy is None else copy.url_of(Path(path))


def _place_of(location: Location) -> Path:
    bare = re.sub(r"[^A-Za-z0-9.-]+", "-", location.path)[-40:].strip("-.")
    return _absolute(cache_folder() / "stores" / f"{bare}-{_hash(location.url.encode())[:12]}")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _newest(objects: Iterable[str]) -> dict[str, _Version]:
    """The version that counts of every changing file among these, by its name."""
    found: dict[str, _Version] = {}
    for one in objects:
        if match := _VERSION.fullmatch(one):
            version = _Version(match["stem"] + (match["suffix"] or ""), int(match["number"]), match["hash"])
            known = found.get(version.name)
            if known is None or (version.number, version.hash) > (known.number, known.hash):
                found[version.name] = version
    return found


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _file_hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
