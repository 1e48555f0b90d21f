"""Nothing mined may act on, or hide from, the person who looks at it."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from miner.safe_text import html, terminal, visible

INVISIBLE = "\u034f\u115f\u1160\u17b4\u180b\u180e\u3164\uffa0\ufe0f\U000e0100\u200b\u200d\u2060\ufeff\u00ad\U000e0041"
anything = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp"]))
) | st.text("=+-@\t\r\n\x1b'\"<>&[/]\u202e\ud800 a,;:smile" + INVISIBLE)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 日本語, 👍", "plain, naïve, 日本語, 👍"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("user\u202egnp.exe", r"user\u202egnp.exe"),
        ("a\u200bb\u2066c\U000e0041", r"a\u200bb\u2066c\U000e0041"),
        ("\ud83d alone", r"\ud83d alone"),
        ("one\ntwo\tthree\r\x00\x7f", "one⏎two⇥three␍␀␡"),
        ("line\u2028separator", r"line\u2028separator"),
        ("", ""),
    ],
)
def test_what_acts_or_hides_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_newlines_and_tabs_are_kept_on_request_and_nothing_else() -> None:
    assert visible("a\n\tb\r\x0b\x1b", keep_whitespace=True) == "a\n\tb␍␋␛"


@pytest.mark.parametrize("char", INVISIBLE)
def test_no_character_that_draws_nothing_stays(char: str) -> None:
    assert visible(f"a{char}b").startswith("a\\")


@given(anything)
def test_visible_text_holds_no_control_format_or_surrogate(text: str) -> None:
    shown = visible(text)
    assert {unicodedata.category(char) for char in shown}.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
    assert visible(shown) == shown
    shown.encode()


@given(anything)
def test_kept_whitespace_is_the_only_control_left(text: str) -> None:
    left = {char for char in visible(text, keep_whitespace=True) if unicodedata.category(char)[0] == "C"}
    assert left <= {"\n", "\t"}


@given(anything, anything)
def test_visible_text_of_parts_is_the_visible_parts(a: str, b: str) -> None:
    assert visible(a + b) == visible(a) + visible(b)


@given(anything)
def test_html_holds_no_markup_and_reads_back(text: str) -> None:
    escaped = html(text)
    assert not set("<>\"'") & set(str(escaped))
    assert escaped.unescape() == visible(text)


@given(anything)
@example("[bold red]x[/bold red] [/x] :smile: [link=https://a.example]y[/link]")
def test_a_terminal_shows_the_characters_and_obeys_none(text: str) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="truecolor", width=10_000, legacy_windows=False)
    console.print(terminal(text), soft_wrap=True, end="")
    assert out.getvalue() == visible(text)
