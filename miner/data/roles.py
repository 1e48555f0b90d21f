"""The names that data sets give to those who speak, as the roles that chat templates know."""

from __future__ import annotations

ROLES = ("assistant", "developer", "system", "tool", "user")
NAMES = {
    "user": ("human", "prompter", "question", "questioner", "customer", "instruction"),
    "assistant": (
        "gpt", "bot", "chatbot", "chatgpt", "model", "ai", "bard", "bing", "claude", "llm", "answer",
        "function_call", "tool_call",
    ),
    "tool": ("function", "function_response", "tool_response", "tool_result", "observation", "ipython", "environment"),
    "system": ("system_prompt",),
}  # fmt: skip
KNOWN = {**{role: role for role in ROLES}, **{name: role for role, names in NAMES.items() for name in names}}


def role_named(name: str) -> str | None:
    """The role behind a name in any case; None for a name that is not known."""
    return KNOWN.get(name.strip().casefold().replace("-", "_").replace(" ", "_"))
