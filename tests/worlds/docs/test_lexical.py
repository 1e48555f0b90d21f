"""Docs world's second RM: what counting can learn, on a world small enough to know the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus.records import Message, Prompt
from miner.rewards.base import Pair
from miner.worlds.docs.lexical import LexicalRewardModel, parts_of, train_lexical, words_of
from miner.worlds.docs.world import question

VERBS = {"cp": "copy", "rm": "remove", "ls": "list", "mv": "move"}
NOUNS = ("file", "folder", "socket", "colour", "thread", "event")


def summary(verb: str, noun: str) -> str:
    return f"Carefully {VERBS[verb]} the given {noun} of this object."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lexical")


@pytest.fixture(scope="module")
def rm(folder: Path) -> LexicalRewardModel:
    named = [(f"tools.{verb}_{noun}", summary(verb, noun)) for verb in VERBS for noun in NOUNS[:5]]
    prompts = [
        Prompt(
            conversation=(Message(role="user", content=question(f"tools.{verb}_{noun}")),),
            reference=summary(verb, noun),
            rejected=(summary(verb, NOUNS[at]), summary(other, noun)),
            group_key=noun,
            split="train",
        )
        for verb, other in zip(VERBS, [*list(VERBS)[1:], "cp"], strict=True)
        for at, noun in enumerate(NOUNS[1:5])
    ]
    return train_lexical(named, prompts, out=folder / "lexical.safetensors", seed=0)


def reward(rm: LexicalRewardModel, name: str, response: str) -> float:
    pair = Pair((Message(role="user", content=question(name)),), response)
    return float(rm.exact_rewards([pair])[0])


@pytest.mark.parametrize("verb", VERBS)
def test_a_name_it_has_not_seen_is_translated_word_by_word(rm: LexicalRewardModel, verb: str) -> None:
    others = [summary(other, "event") for other in VERBS if other != verb]
    good = reward(rm, f"tools.{verb}_event", summary(verb, "event"))
    assert len(others) == len(VERBS) - 1 > 0
    assert all(good > reward(rm, f"tools.{verb}_event", other) for other in others)


def test_order_is_worth_something_and_silence_nothing(rm: LexicalRewardModel) -> None:
    text = summary("cp", "file")
    shuffled = " ".join(reversed(text.split()))
    assert reward(rm, "tools.cp_file", text) > reward(rm, "tools.cp_file", shuffled) > reward(rm, "tools.cp_file", "")


def test_what_is_saved_is_read_back(rm: LexicalRewardModel, folder: Path) -> None:
    again = LexicalRewardModel.load(folder / "lexical.safetensors")
    assert again.fingerprint == rm.fingerprint
    assert reward(again, "tools.mv_file", "Move it.") == reward(rm, "tools.mv_file", "Move it.")


def test_names_and_words_are_cut_where_people_would() -> None:
    assert parts_of("What does `os.path.splitExt` do?") == (("os", "path"), ("split", "ext"))
    assert words_of("Returns files, returned.") == ("return", "file", ",", "return", ".")
