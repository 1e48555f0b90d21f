"""Reliability drills: each does damage on purpose and counts what the corpus lost or got wrong.

The tests run them small, ``scripts/bench_corpus`` in full. Run as a program, this file is the process that a drill
starts: ``durability.py ROLE FOLDER ARGUMENTS``.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import stat
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import corpus as corpus_package
from corpus import Corpus, CorpusWriteError, DamagedSegmentError
from corpus.durable import TEMPORARY_PREFIX
from corpus.records import Finding
from scripts.drills.samples import HOSTILE, attempt, finding

ME = Path(__file__).resolve()


@dataclass(frozen=True, kw_only=True)
class BitFlips:
    n: int
    detected: int
    silently_wrong: int
    harmless: int


def bit_flips(folder: Path, n: int, seed: int, rows: int = 20) -> BitFlips:
    """Flips one bit of a segment, ``n`` times, and reads the corpus in the ordinary way."""
    corpus = _one_segment_corpus(folder, rows)
    path = next((folder / "findings").iterdir())
    content, truth = path.read_bytes(), corpus.findings()
    outcomes = {"detected": 0, "silently_wrong": 0, "harmless": 0}
    for flipped in _flipped(content, n, seed):
        path.write_bytes(flipped)
        try:
            outcomes["harmless" if corpus.findings() == truth else "silently_wrong"] += 1
        except DamagedSegmentError:
            outcomes["detected"] += 1
    path.write_bytes(content)
    return BitFlips(n=n, **outcomes)


def bit_flips_by_page_checksums_alone(folder: Path, n: int, seed: int, rows: int = 20) -> BitFlips:
    """The same flips against Parquet's own defences: why the corpus checks the whole file's hash on every read."""
    _one_segment_corpus(folder, rows)
    content = next((folder / "findings").iterdir()).read_bytes()
    truth = _plain_read(content)
    outcomes = {"detected": 0, "silently_wrong": 0, "harmless": 0}
    for flipped in _flipped(content, n, seed):
        try:
            outcomes["harmless" if _plain_read(flipped) == truth else "silently_wrong"] += 1
        except (pa.ArrowException, OSError, ValueError, MemoryError):
            outcomes["detected"] += 1
    return BitFlips(n=n, **outcomes)


def _plain_read(content: bytes) -> object:
    table = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()
    return table.schema.names, table.to_pylist()


def _one_segment_corpus(folder: Path, rows: int) -> Corpus:
    corpus = Corpus(folder)
    corpus.append(*(finding(number, response=f"{HOSTILE} {number}") for number in range(rows)))
    return corpus


def _flipped(content: bytes, n: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    copies = []
    for _ in range(n):
        copy = bytearray(content)
        copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
        copies.append(bytes(copy))
    return copies


@dataclass(frozen=True, kw_only=True)
class Kills:
    n: int
    acknowledged_rows: int
    lost_rows: int
    damaged_segments: int
    found_without_finding: int
    temporary_files_left: int


def kills(folder: Path, n: int, seed: int, longest_s: float = 0.3, *, hard_links: bool = True) -> Kills:
    """SIGKILLs a process that writes (and now and then compacts), at a random moment, ``n`` times.

    Without ``hard_links`` it has none, as on exFAT and many FUSE file systems, which sync no folders either.
    """
    rng = random.Random(seed)
    acknowledged: set[int] = set()
    for round_number in range(n):
        with _start("writer", folder, str(round_number * 1_000_000), str(hard_links)) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, longest_s))
            writer.kill()
            acknowledged |= {int(line) for line in writer.stdout.read().split()}
    corpus = Corpus(folder)
    damaged = len(corpus.quarantine())
    stored = {row.finding_id: row for row in corpus.findings()}
    attempts = {row.attempt_id: row for row in corpus.attempts()}
    with_finding = {row.attempt_id for row in stored.values()}
    intact = [
        stored.get(_finding(number).finding_id) == _finding(number)
        and attempts.get(f"attempt-{number}") == attempt(number)
        for number in sorted(acknowledged)
    ]
    return Kills(
        n=n,
        acknowledged_rows=2 * len(acknowledged),
        lost_rows=2 * intact.count(False),
        damaged_segments=damaged,
        found_without_finding=len(set(attempts) - with_finding),
        temporary_files_left=len(list(folder.glob(f"*/{TEMPORARY_PREFIX}*"))),
    )


def _finding(number: int) -> Finding:
    """A finding of some size, so that writing it takes a while in which to be killed."""
    noise = random.Random(number).randbytes(10_000).hex()
    return finding(number, response=f"{HOSTILE} {number} {noise}")


def _write_until_killed(folder: Path, first: int) -> None:
    corpus = Corpus(folder)
    for start in itertools.count(first, 5):
        batch = range(start, start + 5)
        with corpus.writer(flush_rows=6) as writer:
            for number in batch:
                writer.add(attempt(number), _finding(number))
            writer.flush()
            if start == first:  # in full swing
                os.write(1, b"ready\n")
            os.write(1, "".join(f"{number}\n" for number in batch).encode())
        if start % 25 == 0:
            corpus.compact()


def _without_hard_links() -> None:
    real = os.fsync

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    os.link, os.fsync = refused, files_only  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class Crowd:
    writers: int
    rows_written: int
    rows_lost: int
    rows_wrong: int
    reads: int
    different_views: int
    inconsistent_reads: int
    compactions: int


def crowd(folder: Path, writers: int, flushes: int, rows_per_flush: int = 5) -> Crowd:
    """Writers, a compactor and a reader at once; the reader's view may only grow, and attempts have their findings."""
    done = folder.with_name(folder.name + ".done")
    reader, compactor = _start("reader", folder, str(done)), _start("compactor", folder, str(done))
    for process in (reader, compactor):
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    busy = [_start("batch", folder, str(k * 1_000_000), str(flushes), str(rows_per_flush)) for k in range(writers)]
    for process in busy:
        process.communicate()
    failed = sum(process.returncode != 0 for process in busy)
    done.touch()
    seen = json.loads(reader.communicate()[0] or "null")
    compactions = json.loads(compactor.communicate()[0] or "null")
    if failed or seen is None or compactions is None:
        raise RuntimeError(f"a process failed: {failed} writers, reader said {seen}, compactor said {compactions}")
    expected = {
        _finding(number).finding_id: _finding(number)
        for k in range(writers)
        for number in range(k * 1_000_000, k * 1_000_000 + flushes * rows_per_flush)
    }
    stored = {row.finding_id: row for row in Corpus(folder).findings()}
    return Crowd(
        writers=writers,
        rows_written=len(expected),
        rows_lost=len(expected.keys() - stored.keys()),
        rows_wrong=sum(expected.get(key) != row for key, row in stored.items()),
        reads=seen["reads"],
        different_views=seen["views"],
        inconsistent_reads=seen["inconsistent"],
        compactions=compactions,
    )


def _write_batches(folder: Path, first: int, flushes: int, rows_per_flush: int) -> None:
    with Corpus(folder).writer(flush_rows=10**9, flush_seconds=10**9) as writer:
        for flush in range(flushes):
            for number in range(first + flush * rows_per_flush, first + (flush + 1) * rows_per_flush):
                writer.add(attempt(number), _finding(number))
            writer.flush()
            time.sleep(0.05)  # so that the others get their turns


def _read_until(folder: Path, done: Path) -> None:
    corpus, reads, views, inconsistent = Corpus(folder), 0, 0, 0
    seen: set[str] = set()
    last = False
    print("ready", flush=True)
    while not last:
        last = done.exists()
        attempts = corpus.attempt_ids()
        rows = corpus.table("findings")
        view = set(rows.column("finding_id").to_pylist())
        with_finding = set(rows.column("attempt_id").to_pylist())
        inconsistent += not (seen <= view and attempts <= with_finding and len(view) == len(rows))
        views += view != seen
        seen = view
        reads += 1
    print(json.dumps({"reads": reads, "views": views, "inconsistent": inconsistent}))


def _compact_until(folder: Path, done: Path) -> None:
    corpus, runs = Corpus(folder), 0
    print("ready", flush=True)
    while not done.exists():
        report = corpus.compact()
        runs += report.segments_after < report.segments_before
    print(json.dumps(runs))


@dataclass(frozen=True, kw_only=True)
class FullDisk:
    acknowledged_rows: int
    lost_rows: int
    refused_with: str
    temporary_files_left: int
    damaged_segments: int
    kept_rows_published_after_freeing: bool


def can_mount() -> bool:
    """Whether this machine lets us mount a small tmpfs of our own."""
    try:
        return (
            subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "t", "/mnt"], capture_output=True).returncode == 0
        )
    except FileNotFoundError:
        return False


def full_disk(folder: Path) -> FullDisk:
    """Writes to a 2 MiB tmpfs until it is full, then frees space and goes on."""
    folder.mkdir()
    command = ["unshare", "-rm", sys.executable, str(ME), "full-disk", str(folder)]
    return FullDisk(**json.loads(subprocess.run(command, check=True, capture_output=True, env=_environment()).stdout))


def _fill_disk(mount: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "t", str(mount)], check=True)
    filler, corpus = mount / "filler", Corpus(mount / "corpus")
    filler.write_bytes(bytes(500_000))
    writer = corpus.writer()
    acknowledged = [finding(0)]
    corpus.append(*acknowledged)
    refused = None
    for number in range(1, 10_000):
        row = finding(number, response=random.Random(number).randbytes(20_000).hex())
        try:
            writer.add(row)
            writer.flush()
        except CorpusWriteError as error:
            refused = str(error)
            break
        acknowledged.append(row)
    left = len(list(mount.glob(f"corpus/*/{TEMPORARY_PREFIX}*")))
    intact = corpus.findings() == acknowledged
    filler.unlink()
    writer.close()
    result = FullDisk(
        acknowledged_rows=len(acknowledged),
        lost_rows=0 if intact else len(acknowledged) - len(corpus.findings()) or -1,
        refused_with=str(refused),
        temporary_files_left=left,
        damaged_segments=sum(not report.ok for report in corpus.verify()),
        kept_rows_published_after_freeing=corpus.findings() == [*acknowledged, row],
    )
    print(json.dumps(asdict(result)))


def _start(role: str, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ME), role, str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment())


def _environment() -> dict[str, str]:
    """Ours, so that a process finds the same ``corpus`` package whether or not it is installed."""
    return {**os.environ, "PYTHONPATH": str(Path(corpus_package.__file__).parents[1])}


def _play(role: str, folder: Path, arguments: list[str]) -> None:
    if role == "writer":
        if arguments[1] == "False":
            _without_hard_links()
        _write_until_killed(folder, int(arguments[0]))
    elif role == "batch":
        _write_batches(folder, *map(int, arguments))
    elif role == "reader":
        _read_until(folder, Path(arguments[0]))
    elif role == "compactor":
        _compact_until(folder, Path(arguments[0]))
    elif role == "full-disk":
        _fill_disk(folder)


if __name__ == "__main__":
    _play(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
