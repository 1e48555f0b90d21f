"""README.md and docs/ as tests read them: fenced blocks, commands, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
FENCED = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
OURS = re.compile(r"(?:attacks|corpus|docs|miner|scripts|tests)/[\w./-]*")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of ``page`` that begins at ``line``."""

    page: Path
    line: int
    kind: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(*kinds: str) -> list[Block]:
    """The fenced blocks of all pages in these languages."""
    return [
        Block(page, text_of(page)[: found.start()].count("\n") + 1, found["kind"], found["text"])
        for page in PAGES
        for found in FENCED.finditer(text_of(page))
        if found["kind"] in kinds
    ]


def commands() -> list[tuple[str, str]]:
    """(where, command) of every line of the shell blocks, comments left out; each command once."""
    found: dict[str, str] = {}
    for block in blocks("sh", "bash"):
        for number, line in enumerate(block.text.splitlines(), start=block.line + 1):
            if command := re.split(r"(?:^|\s+)#\s", line)[0].strip():
                found.setdefault(command, f"{block.page.relative_to(ROOT)}:{number}")
    return [(where, command) for command, where in found.items()]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCED.sub("", text_of(page))


def anchors(page: Path) -> set[str]:
    """What a link may name after ``#``: the headings as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
