"""OpenAssistant's conversation trees (Köpf et al. 2023, arXiv:2304.07327), nested or one message a row, as prompts with
ranked answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from miner.data.roles import role_named
from miner.data.rows import Reason, Row, UnusableRowError

Rows = Iterable[Row | UnusableRowError]


def nested_trees(rows: Rows) -> Iterator[Row | UnusableRowError]:
    """A row for each turn of the user's in every tree: the conversation up to it, and the replies with their ranks."""
    for row in rows:
        if isinstance(row, UnusableRowError):
            yield row
            continue
        root = row.values.get("prompt")
        tree = str(row.values.get("message_tree_id") or row.where)
        yield from _turns_of(root, [], tree, row.where)


def joined_messages(rows: Rows) -> Iterator[Row | UnusableRowError]:
    """``nested_trees`` of messages that name their parents, in any order; one whose parent is missing is left out."""
    messages: dict[str, tuple[str, dict[str, Any]]] = {}
    for row in rows:
        if isinstance(row, UnusableRowError):
            yield row
            continue
        key = row.values.get("message_id")
        if key is None or str(key) in messages:
            detail = "no message_id" if key is None else f"message_id {key!r:.40} is there twice"
            yield UnusableRowError(Reason.ORDER, row.where, detail)
            continue
        messages[str(key)] = (row.where, {**row.values, "replies": []})
    roots = []
    for where, message in messages.values():
        parent = message.get("parent_id")
        if parent is None:
            roots.append((where, message))
        elif str(parent) in messages:
            messages[str(parent)][1]["replies"].append(message)
        else:
            yield UnusableRowError(Reason.ORDER, where, f"its parent {parent!r:.40} is not in the data")
    for where, message in roots:
        tree = str(message.get("message_tree_id") or message.get("message_id"))
        yield from _turns_of(message, [], tree, where)


def _turns_of(message: Any, before: list[dict[str, Any]], tree: str, where: str) -> Iterator[Row | UnusableRowError]:
    """Rows of the user's turn ``message`` and of those further down."""
    pending = [(message, before)]
    while pending:
        one, earlier = pending.pop()
        role = one.get("role") if isinstance(one, Mapping) else None
        if not isinstance(one, Mapping) or not isinstance(role, str) or role_named(role) != "user":
            yield UnusableRowError(Reason.ORDER, where, f"expected a turn of the user's; got role {role!r:.40}")
            continue
        replies = one.get("replies") or []
        turns = [*earlier, {"role": role, "content": one.get("text")}]
        answers = [{"text": reply.get("text"), "rank": reply.get("rank")} for reply in replies]
        yield Row(where, {"prompt": turns, "answers": answers, "tree": tree})
        for reply in reversed(replies):
            said = [*turns, {"role": str(reply.get("role")), "content": reply.get("text")}]
            pending += [(further, said) for further in reversed(reply.get("replies") or [])]
