"""A corpus and changing files in object stores: in memory, and in one that fails, delays, loses replies, lists late."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.spec import AbstractFileSystem

from corpus import Corpus, CorpusReadError, CorpusWriteError, ExportError, object_store
from corpus.locations import Location, location_of, path_of, without_secrets
from corpus.object_store import ObjectStore
from corpus.publishing import publish_folder, replace_file
from corpus.schema import TABLES
from corpus.segments import publish_segment
from corpus.working_copy import fetched, fetched_all, fetched_folder, located, shown
from scripts.drills import samples
from tests.scale.faulty_file_system import FaultyFileSystem, register
from tests.scale.machines import Machine


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Machine]:
    monkeypatch.setattr(object_store, "PAUSES_S", (0.001,) * 8)
    return Machine(tmp_path / "cache-a", monkeypatch), Machine(tmp_path / "cache-b", monkeypatch)


@pytest.fixture(params=["memory", "faulty"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    register()
    monkeypatch.setattr(FaultyFileSystem, "late_s", 0.0)
    yield f"memory://{tmp_path.name}/run" if request.param == "memory" else f"faulty://{tmp_path}/bucket/run"
    memory.store.clear()


def test_what_one_machine_appends_another_reads(url: str, machines: tuple[Machine, Machine]) -> None:
    here, there = machines
    here()
    Corpus(url).append(samples.finding(1), samples.attempt(1))
    there()
    corpus = Corpus(url)
    assert corpus.exists()
    assert corpus.findings() == [samples.finding(1)]
    corpus.append(samples.finding(2))
    assert len(corpus.findings()) == 2
    here()
    assert sorted(one.finding_id for one in Corpus(url).findings()) == sorted(
        samples.finding(n).finding_id for n in (1, 2)
    )
    assert Corpus(url).query("select count(*) n from findings").to_pylist() == [{"n": 2}]
    assert repr(Corpus(url)) == f"Corpus('{location_of(url).url}')"  # type: ignore[union-attr]


def test_a_segment_is_fetched_once(
    url: str, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines
    here()
    Corpus(url).append(samples.finding(1))
    there()
    corpus = Corpus(url)
    corpus.findings()
    read: list[str] = []
    real = ObjectStore.read
    monkeypatch.setattr(ObjectStore, "read", lambda self, name: read.append(name) or real(self, name))
    assert len(corpus.findings()) == 1
    assert read == []
    here()
    Corpus(url).append(samples.finding(2))
    there()
    assert len(corpus.findings()) == 2
    assert len(read) == 1


def test_a_changing_file_says_what_was_written_last(url: str, machines: tuple[Machine, Machine]) -> None:
    here, there = machines
    for machine, text in ((here, b"1"), (there, b"2"), (here, b"3")):
        machine()
        replace_file(located(url) / "rounds" / "1" / "patch.json", text)
    for machine in machines:
        machine()
        assert fetched(located(url) / "rounds" / "1" / "patch.json").read_bytes() == b"3"
    store = ObjectStore(location_of(url))  # type: ignore[arg-type]
    assert [one[:14] for one in store.list("rounds/1").objects] == [f"patch@0000000{n}" for n in (1, 2, 3)]


def test_saying_the_same_again_writes_nothing(url: str, machines: tuple[Machine, Machine]) -> None:
    machines[0]()
    for _ in range(3):
        replace_file(located(url) / "campaign.toml", b"same")
    assert len(ObjectStore(location_of(url)).list().objects) == 2  # type: ignore[arg-type]


def test_two_that_write_a_file_at_once_agree_on_what_it_says(
    url: str, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither sees the other's version when it numbers its own."""
    for machine, text in zip(machines, (b"a", b"b"), strict=True):
        machine()
        place = located(url)
        with monkeypatch.context() as late:
            late.setattr(ObjectStore, "list", lambda *_: object_store.Listing())
            replace_file(place / "summary.json", text)
    seen = set()
    for machine in machines:
        machine()
        seen.add(fetched(located(url) / "summary.json").read_bytes())
    assert len(seen) == 1


def test_of_two_published_folders_the_first_counts_on_every_machine(
    url: str, machines: tuple[Machine, Machine]
) -> None:
    here, there = machines

    def publish(text: str) -> bool:
        def make(folder: Path) -> None:
            (folder / "deep").mkdir()
            (folder / "deep" / "weights").write_text(text, encoding="utf-8")
            (folder / text).touch()

        return publish_folder(located(url) / "rounds" / "1" / "model", make)

    here()
    assert publish("first")
    there()
    assert not publish("second")
    for machine in (here, there):
        machine()
        model = fetched_folder(located(url) / "rounds" / "1" / "model")
        assert {one.relative_to(model).as_posix() for one in model.rglob("*")} == {"deep", "deep/weights", "first"}
        assert (model / "deep" / "weights").read_text(encoding="utf-8") == "first"


def test_a_published_folder_whose_files_were_changed_is_refused(
    url: str, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines
    here()
    publish_folder(located(url) / "model", lambda folder: (folder / "weights").write_bytes(b"good"))
    store = ObjectStore(location_of(url))  # type: ignore[arg-type]
    (place,) = store.list().folders
    monkeypatch.setattr(FaultyFileSystem, "fails", 0.0)
    monkeypatch.setattr(FaultyFileSystem, "loses_reply", 0.0)
    store._fs.pipe_file(store._path(f"{place}/weights"), b"evil")
    there()
    with pytest.raises(CorpusReadError, match=r"model@.*/weights is (damaged|gone)"):
        fetched_folder(located(url) / "model")
    assert not (located(url) / "model").exists()


def test_a_store_that_was_emptied_leaves_no_ghosts(url: str, machines: tuple[Machine, Machine]) -> None:
    machines[0]()
    Corpus(url).append(samples.finding(1))
    if url.startswith("memory"):
        fsspec.filesystem("memory").store.clear()
    else:
        shutil.rmtree(url.removeprefix("faulty:/"))
    machines[0]._copies.clear()  # a process later
    assert not Corpus(url).exists()
    assert Corpus(url).findings() == []


def test_hidden_files_and_others_stay_here(url: str, machines: tuple[Machine, Machine]) -> None:
    here, there = machines
    here()
    folder = located(url)
    replace_file(folder / ".dry-run-1" / "x", b"1")
    (folder / "training").mkdir()
    (folder / "training" / "lock").touch()
    replace_file(folder / "seen", b"1")
    there()
    assert {one.name for one in fetched_all(located(url)).iterdir()} == {"seen", ".store"}


def test_every_machine_takes_the_same_of_two_rows_whatever_the_clocks_say(
    url: str, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clock is an hour behind, and the store lists late: neither sees the other's segment."""
    rows = [samples.finding(1, reward=float(n)) for n in range(2)]
    for n, machine in enumerate(machines):
        machine()
        with monkeypatch.context() as skewed:
            skewed.setattr("corpus.segments.time.time_ns", lambda n=n: 10**18 - n * 3600 * 10**9)
            Corpus(url).append(rows[n])
    taken = []
    for machine in machines:
        machine()
        taken += [one.reward for one in Corpus(url).findings()]
    assert len(taken) == 2
    assert taken[0] == taken[1]


def test_a_clock_that_is_behind_takes_no_row_from_who_was_seen_first(
    url: str, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines
    here()
    Corpus(url).append(samples.finding(1, reward=1.0))
    there()
    monkeypatch.setattr("corpus.segments.time.time_ns", lambda: 10**18)
    corpus = Corpus(url)
    assert corpus.findings()[0].reward == 1.0
    corpus.append(samples.finding(1, reward=2.0))
    assert [one.reward for one in corpus.findings()] == [1.0]


def test_late_writers_change_nothing_in_a_view(url: str, machines: tuple[Machine, Machine]) -> None:
    here, there = machines
    here()
    Corpus(url).append(samples.finding(1, reward=1.0))
    frozen = Corpus(url).segments()
    earlier = samples.finding(1, reward=9.0)
    there()
    publish_segment(located(url) / "findings", _table(earlier))
    Corpus(url).append(samples.finding(2))
    assert len(Corpus(url).findings()) == 2
    assert [one.reward for one in Corpus(url, only=frozen).findings()] == [1.0]


def test_a_view_fetches_what_the_store_does_not_list_yet(
    url: str, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines
    here()
    Corpus(url).append(samples.finding(1))
    frozen = Corpus(url).segments()
    there()
    monkeypatch.setattr(ObjectStore, "list", lambda *_: object_store.Listing())
    assert Corpus(url).findings() == []
    assert len(Corpus(url, only=frozen).findings()) == 1


def _table(record: object) -> object:
    import pyarrow as pa

    from corpus.rows import row_of

    return pa.Table.from_pylist([row_of(record)], schema=TABLES["findings"].schema)  # type: ignore[arg-type]


def test_a_view_holds_the_same_after_a_compaction(tmp_path: Path) -> None:
    """Also of a row that a segment outside the view has published before."""
    corpus = Corpus(tmp_path)
    corpus.append(samples.finding(1, reward=1.0))
    corpus.append(samples.finding(1, reward=2.0))
    corpus.append(samples.finding(2, reward=3.0))
    second = corpus.segments()["findings"][1]
    view = Corpus(tmp_path, only={"findings": [second]})
    before = view.findings()
    assert [one.reward for one in before] == [2.0]
    everything = corpus.findings()
    corpus.compact()
    corpus.compact()
    assert view.findings() == before
    assert corpus.findings() == everything
    assert corpus.compact().segments_after == 1


def test_what_deletes_or_renames_is_refused_on_a_store(url: str, machines: tuple[Machine, Machine]) -> None:
    machines[0]()
    corpus = Corpus(url)
    corpus.append(samples.finding(1))
    with pytest.raises(CorpusWriteError, match=rf"cannot compact {url[:6]}.*corpus import FOLDER"):
        corpus.compact()
    with pytest.raises(CorpusWriteError, match="cannot quarantine"):
        corpus.quarantine()


def test_a_corpus_goes_from_store_to_folder_and_back(
    url: str, machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    machines[0]()
    Corpus(url).append(samples.finding(1), samples.attempt(1))
    machines[1]()
    folder = Corpus(tmp_path / "folder")
    assert folder.import_from(url).added["findings"] == 1
    assert Corpus(f"{url}-2").import_from(tmp_path / "folder").added["attempts"] == 1
    with pytest.raises(ExportError, match="a folder on this machine"):
        Corpus(url).export("jsonl", f"{url}-3")
    assert Corpus(f"{url}-2").export("jsonl", tmp_path / "exported").rows == {"train": 1}


def test_a_store_that_overwrites_is_refused(
    tmp_path: Path, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    machines[0]()
    register()
    monkeypatch.setattr(FaultyFileSystem, "overwrites", True)
    with pytest.raises(CorpusWriteError, match="overwrites an object that it is asked to create"):
        Corpus(f"faulty://{tmp_path}/bucket").append(samples.finding(1))


def test_a_read_only_store_is_read_and_not_written_to(
    tmp_path: Path, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    register()
    monkeypatch.setattr(FaultyFileSystem, "late_s", 0.0)
    machines[0]()
    url = f"faulty://{tmp_path}/bucket"
    Corpus(url).append(samples.finding(1))
    monkeypatch.setattr(FaultyFileSystem, "read_only", True)
    machines[1]()
    assert len(Corpus(url).findings()) == 1
    with pytest.raises(CorpusWriteError, match=r"cannot write to faulty://.*AccessDenied.*credentials that may write"):
        Corpus(url).append(samples.finding(2))


def test_an_outage_that_stays_is_one_line_without_secrets(
    tmp_path: Path, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    register()
    machines[0]()

    def down(*_: object, **__: object) -> None:
        raise OSError("https://b.s3.amazonaws.com/x?X-Amz-Signature=abc123&X-Amz-Credential=AKIA\nmore")

    monkeypatch.setattr(FaultyFileSystem, "cat_file", down)
    with pytest.raises(CorpusReadError, match=r"cannot read faulty://.*: OSError: https.*run the same command") as told:
        Corpus(f"faulty://{tmp_path}/bucket")
    assert "abc123" not in str(told.value)
    assert "AKIA" not in str(told.value)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://key:secret@bucket/run", "may not carry credentials: s3://…@bucket"),
        ("s3://key@bucket/run", "may not carry credentials"),
        ("s3://bucket/run?versionId=1", "is no plain address"),
        ("simplecache::s3://bucket/run", None),
        ("s3://", "names no bucket"),
    ],
)
def test_an_address_that_is_none_is_refused(place: str, message: str | None) -> None:
    if message is None:
        assert location_of(place) is None
        return
    with pytest.raises(CorpusReadError, match=message) as told:
        location_of(place)
    assert "secret" not in str(told.value)


def test_what_is_an_address_and_what_is_a_path() -> None:
    for place in ("s3://bucket/run/", "s3:/bucket/run", Path("s3://bucket/run")):
        assert location_of(place) == Location("s3", "bucket/run")
    assert location_of("abfs://container@account.dfs.core.windows.net/run") is not None
    for place in ("runs/x", "C:/runs/x", "file:///tmp/x", Path("/tmp/s3:x")):
        assert location_of(place) is None
    assert path_of("file:///tmp/x") == Path("/tmp/x")
    assert located("runs/x") == Path("runs/x")
    assert shown("runs/x") == "runs/x"
    assert without_secrets("\nat s3://a:b@c token=xyz") == "at s3://…@c token=…"


def test_an_s3fs_that_overwrites_is_refused_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2025.5.1")
    with pytest.raises(CorpusReadError, match=r"s3fs 2025.5.1 may overwrite.*pip install -U 's3fs>=2025.7.0'"):
        ObjectStore(Location("s3", "bucket")).list()


def test_a_file_system_that_cannot_create_is_refused() -> None:
    looks_first = type("LooksFirst", (AbstractFileSystem,), {"protocol": "looksfirst"})
    fsspec.register_implementation("looksfirst", looks_first, clobber=True)
    with pytest.raises(CorpusReadError, match=r"looksfirst:// cannot create an object only where.*expected s3://"):
        ObjectStore(Location("looksfirst", "x")).list()
