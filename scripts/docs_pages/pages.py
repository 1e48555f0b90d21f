"""Pages with generated blocks: what stands between a block's two markers is replaced, all else is left alone.

A block begins with ``<!-- generated: NAME -->`` and ends with ``<!-- end -->``, each on a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.docs_pages import campaign_file, measured, real, registries

ROOT = Path(__file__).resolve().parents[2]
BLOCKS: Mapping[str, Callable[[], str]] = {
    "attacks": registries.attacks,
    "attacks in detail": registries.attacks_in_detail,
    "verbs": registries.verbs,
    "checks": registries.checks,
    "packages": registries.packages,
    "rooms": registries.rooms,
    "published models": registries.published_models,
    "campaign file": campaign_file.reference,
    "success": measured.success,
    "cycle": measured.cycle,
    "check errors": measured.check_errors,
    "held out in turn": measured.held_out_in_turn,
    "machines": measured.machines,
    "certificate": measured.certificate,
    "stopping": measured.stopping,
    "real accuracy": real.accuracy,
    "real attacks": real.attacks,
    "faults": measured.faults,
    "last runs": measured.last_runs,
}
BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages(root: Path = ROOT) -> list[Path]:
    """README.md and every page of docs/."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def rendered(page: str) -> str:
    """``page`` with every block made anew.

    Raises:
        KeyError: a block that nothing makes.
    """
    return BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found['name']]()}\n{found[3]}", page)


def names_of_blocks(page: str) -> list[str]:
    """The blocks of ``page``, in its order."""
    return [found["name"] for found in BLOCK.finditer(page)]


def stale(root: Path = ROOT) -> list[Path]:
    """The pages whose blocks differ from what is made now."""
    return [page for page in pages(root) if rendered(text := page.read_text(encoding="utf-8")) != text]


def write(root: Path = ROOT) -> list[Path]:
    """Make the stale pages anew; returns those."""
    changed = stale(root)
    for page in changed:
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")
    return changed
