"""How fast and in how much memory preference data is read, beside ``datasets.load_dataset`` on the same file.

    python scripts/bench_data.py [--rows 1000000]

Rows are JSON lines of about 1 kB. Each reader has a process of its own, so that peaks do not mix; what is imported is
not timed. Processor time is given beside the clock's: where other work runs on the machine, compare that.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ("air", "light", "blue", "scatter", "cloud", "morning", "because", "wave", "short", "long", "see", "red", "sky")
ANSWER_WORDS = 80


def write_rows(path: Path, n: int) -> None:
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            good, bad = (" ".join(draw.choices(WORDS, k=ANSWER_WORDS)) for _ in range(2))
            file.write(json.dumps({"prompt": f"question {number}", "chosen": good, "rejected": bad}) + "\n")


def read_ours(path: Path, folder: Path) -> int:  # noqa: ARG001
    from miner.data import read_preferences

    return read_preferences(path).report.rows


def read_theirs(path: Path, folder: Path) -> int:
    import datasets

    datasets.disable_progress_bars()
    return len(datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(folder / "cache")))


READERS = {"rmminer": read_ours, "datasets": read_theirs}


def measured(name: str, path: Path, folder: Path) -> None:
    """Prints rows, seconds and peak memory of one reader, as JSON."""
    import datasets  # noqa: F401

    import miner.data  # noqa: F401

    started, worked = time.perf_counter(), time.process_time()
    rows = READERS[name](path, folder)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"rows": rows, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb}
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.reader:
        return measured(given.reader, given.file, given.file.parent)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, given.rows)
        megabytes = path.stat().st_size / 1e6
        found = {}
        for name in READERS:
            command = [sys.executable, __file__, "--reader", name, "--file", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[name] = json.loads(done.stdout.splitlines()[-1])
            one = found[name]
            print(f"{name}: {one['rows']} rows, {megabytes:.0f} MB, {one['seconds']:.1f} s "
                  f"({one['cpu_seconds']:.1f} s of processor time), peak {one['peak_mb']:.0f} MB")  # fmt: skip
        rate, work = (found["datasets"][name] / found["rmminer"][name] for name in ("seconds", "cpu_seconds"))
        print(f"rate beside datasets: {rate:.2f} (bar 0.5), by processor time {work:.2f}")
    return None


if __name__ == "__main__":
    main()
