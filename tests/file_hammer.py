"""The process that tests start twice to have two of them write in one place at the same moments.

``file_hammer.py replace FILE N`` replaces one file ``N`` times, ``publish FOLDER N`` publishes the folders ``0`` …
``N - 1`` and says how many of them were its own, ``open CONFIG.json N`` opens one
campaign ``N`` times, with one budget and another by turns.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ME = Path(__file__).resolve()


def two_at_once(*arguments: object) -> list[subprocess.Popen[str]]:
    """Two processes that begin together, once both have imported what they need."""
    command = [sys.executable, "-P", str(ME), *map(str, arguments)]  # beside it lie tests/attacks and tests/corpus
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(2)
    ]
    for process in found:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in found:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return found


def ended(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """What each of them said when it had done its work.

    Raises:
        AssertionError: one has failed; the message is its traceback.
    """
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "".join(errors for _, errors in said)
    return [answer for answer, _ in said]


def content(number: int) -> str:
    """A text that says by itself whether it is whole, between 2 and 400 kB long."""
    return f"{number} " * random.Random(number).randrange(1_000, 100_000) + f"end {number}"


def is_whole(text: str) -> bool:
    return text == content(int(text.split(maxsplit=1)[0]))


def _go() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def _replace(path: Path, n: int) -> None:
    from miner.files import replace_text

    texts = [content(number) for number in range(8)]
    _go()
    for turn in range(n):
        replace_text(path, texts[(turn + os.getpid()) % len(texts)])


def _publish(folder: Path, n: int) -> None:
    from corpus.durable import publish_folder

    def fill(out: Path) -> None:
        for name in ("a", "b", "c"):
            (out / name).write_text(str(os.getpid()))
            time.sleep(0.001)  # the other is here, too

    _go()
    print(sum(publish_folder(folder / str(number), fill) for number in range(n)))


def _open(config: Path, n: int) -> None:
    from miner.campaigns.campaign import Campaign
    from miner.config.campaign import CampaignConfig

    raw, replace = json.loads(config.read_text(encoding="utf-8")), os.replace

    def slow(source: Path, target: Path) -> None:
        time.sleep(0.02)  # as on a network: the other process is here meanwhile
        replace(source, target)

    os.replace = slow  # type: ignore[assignment]
    _go()
    campaigns = [
        Campaign(CampaignConfig.model_validate({**raw, "mine": {"budget_queries": budget}})) for budget in (80, 90)
    ]
    for turn in range(n):
        campaigns[turn % 2].claim_folder()  # what opening writes, without loading the RM again


if __name__ == "__main__":
    {"replace": _replace, "publish": _publish, "open": _open}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
