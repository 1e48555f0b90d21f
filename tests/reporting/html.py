"""A report read back the way a browser reads it: tags, attributes and text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "source", "br", "input", "hr"}


@dataclass
class Node:
    tag: str
    attributes: dict[str, str]
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str | None = None, **wanted: str) -> Iterator[Node]:
        """Every node below of that tag; ``class_`` and the like must be among the attribute's words."""
        for child in self.children:
            if isinstance(child, Node):
                words = {name.rstrip("_"): value for name, value in wanted.items()}
                if tag in (None, child.tag) and all(
                    word in child.attributes.get(name, "").split() for name, word in words.items()
                ):
                    yield child
                yield from child.all(tag, **wanted)

    @property
    def numbers(self) -> list[float]:
        """The exact numbers behind those shown."""
        return [float(node.attributes["value"]) for node in self.all("data")]


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Node:
    """The page as a tree; fails where a tag closes another than the one open."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.open == [builder.root]
    return builder.root
