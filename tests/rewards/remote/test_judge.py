"""An LLM as a judge: its score, or none; never a made-up one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.records import Conversation, Message
from miner.config.reward_model import RemoteJudgeSection, RemoteSection, RewardModelSection
from miner.errors import ConfigError, OutageError, TooLongError
from miner.rewards import Pair
from miner.rewards.remote import JudgeClient, open_judge, open_remote
from miner.rewards.remote.http import HttpClient
from tests.rewards.remote import faults
from tests.rewards.remote.faults import Faulty, faulty_server

PROMPT: Conversation = (Message(role="user", content="What is 2 + 2?"),)
REFERENCES = {PROMPT: " ".join(f"{a}{b}" for a in "bcdfg" for b in ("at", "en", "il", "og", "un", "ay", "er"))}


def reply(content: Any, logprobs: Any = None) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "logprobs": logprobs}
    return {"choices": [choice], "usage": {"total_tokens": 7}}


def judge_server(*contents: Any) -> Any:
    """Replies in order, the last for ever."""
    left = list(contents)
    return faulty_server(lambda *_: reply(left.pop(0) if len(left) > 1 else left[0]))


def judge(server: Faulty, **how: Any) -> JudgeClient:
    return open_judge(
        RemoteSection(protocol="openai", model="gpt", retries=1, give_up_s=5.0, judge=RemoteJudgeSection(**how)),
        server.url,
    )


@pytest.mark.parametrize(
    ("said", "score"),
    [("7", 7), (" 10\n", 10), ("0", 0), ("7.5", 7.5), ("Score: 8", 8), ("rating 3.", 3), ("6/10", 6), ("6 / 10", 6)],
)
def test_a_number_alone_is_the_score(said: str, score: float) -> None:
    with judge_server(said) as server:
        assert judge(server).score(PROMPT, "4") == score


@pytest.mark.parametrize(
    "said",
    ["", "good", "11", "-1", "7 or 8", "I rate it 7", "6/5", "nan", "1e1", "7\n8", "٧", None, ["7"], "seven", "7%"],
)
def test_anything_else_is_asked_again_and_then_no_score(said: Any) -> None:
    with judge_server(said) as server:
        assert judge(server, asks=3).score(PROMPT, "4") is None
        assert len(server.seen) == 3
    with judge_server(said, "5") as server:
        assert judge(server).score(PROMPT, "4") == 5


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{}]}, [], {"choices": [{"message": "7"}]}])
def test_an_answer_of_another_shape_is_an_outage_not_an_abstention(answer: Any) -> None:
    with faulty_server(lambda *_: answer) as server, pytest.raises(OutageError):
        judge(server).score(PROMPT, "4")


def test_it_asks_at_temperature_0_with_both_texts() -> None:
    with judge_server("7") as server:
        judge(server).score(PROMPT, "four, of course")
    ((path, payload),) = server.seen
    assert path == "/v1/chat/completions"
    assert (payload["temperature"], payload["model"]) == (0, "gpt")
    (message,) = payload["messages"]
    assert "What is 2 + 2?" in message["content"]
    assert "four, of course" in message["content"]


@pytest.mark.parametrize("suffix", ["/v1", "/v1/", "/v1/chat/completions", "", "/"])
def test_every_way_to_give_the_address_works(suffix: str) -> None:
    with judge_server("7") as server:
        open_judge(RemoteSection(protocol="openai", model="gpt"), server.url + suffix).score(PROMPT, "4")
        assert server.seen[0][0] == "/v1/chat/completions"


@given(response=st.text(max_size=40), prompt=st.sampled_from(["{response}", "{high}", "a {low} b", "plain"]))
def test_fields_within_the_texts_stay_as_they_are(response: str, prompt: str) -> None:
    client = JudgeClient(
        client=HttpClient(root="http://127.0.0.1:9"),
        model="m",
        how=RemoteJudgeSection(template="<{prompt}|{response}|{low}|{high}>"),
    )
    asked = client.question((Message(role="user", content=prompt),), response)
    assert asked == f"<{prompt}|{response}|0|10>"


def logprobs(**shares: float) -> dict[str, Any]:
    top = [{"token": token.removeprefix("_"), "logprob": math.log(share)} for token, share in shares.items()]
    return {"content": [{"token": "7", "logprob": -0.1, "top_logprobs": top}]}


def test_with_logprobs_the_score_is_the_mean_over_what_the_judge_holds_likely() -> None:
    with faulty_server(lambda *_: reply("7", logprobs(_7=0.6, _8=0.3, _x=0.1))) as server:
        assert judge(server, high=9, logprobs=True).score(PROMPT, "4") == pytest.approx((7 * 0.6 + 8 * 0.3) / 0.9)
        assert judge(server, high=9).score(PROMPT, "4") == 7
    assert server.seen[0][1]["logprobs"] is True


@pytest.mark.parametrize(
    "given",
    [
        None, {}, {"content": []}, {"content": [{}]}, {"content": [{"top_logprobs": [{"token": "7"}]}]},
        {"content": [{"top_logprobs": [{"token": "7", "logprob": "high"}]}]},
        {"content": [{"top_logprobs": [{"token": "7", "logprob": 3.0}]}]},
        logprobs(_7=0.4, _x=0.6),
    ],
)  # fmt: skip
def test_without_usable_logprobs_the_written_score_counts(given: Any) -> None:
    with faulty_server(lambda *_: reply("7", given)) as server:
        assert judge(server, high=9, logprobs=True).score(PROMPT, "4") == 7


def test_many_are_asked_at_once_in_their_order_and_equal_ones_once() -> None:
    def answer(_path: str, payload: Any) -> Any:
        return reply(payload["messages"][0]["content"].split("[answer]\n")[1].split("\n")[0])

    with faulty_server(answer) as server:
        asked = [(PROMPT, text) for text in ("3", "x", "9", "3", "1")]
        assert judge(server, asks=1).scores(asked) == [3, None, 9, 3, 1]
        assert len(server.seen) == 4


def test_too_long_an_input_is_named_as_such() -> None:
    with judge_server("7") as server:
        server.script = [faults.status(400, '{"error": {"code": "context_length_exceeded"}}')]
        with pytest.raises(TooLongError, match="too long"):
            judge(server).score(PROMPT, "4")


def test_a_judge_without_a_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"rm\.remote\.model"):
        open_judge(RemoteSection(), "http://127.0.0.1:9")


def test_as_an_rm_what_it_abstains_on_has_no_reward() -> None:
    def answer(_path: str, payload: Any) -> Any:
        return reply("nonsense" if "bad" in payload["messages"][0]["content"] else "6")

    with faulty_server(answer) as server:
        section = RewardModelSection(source=server.url, remote=RemoteSection(protocol="openai", model="gpt"))
        rm = open_remote(section, server.url, REFERENCES)
        rewards = rm.rewards([Pair(PROMPT, "fine"), Pair(PROMPT, "bad")])
    assert rewards[0] == 6
    assert np.isnan(rewards[1])


def test_its_identity_is_of_the_name_and_of_how_it_is_asked() -> None:
    with judge_server("7") as server:
        ways: list[dict[str, Any]] = [
            {"model": "a"},
            {"model": "b"},
            {"model": "a", "judge": {"high": 5}},
            {"model": "a", "judge": {"template": "{prompt} {response}"}},
        ]
        sections = [RemoteSection.model_validate({"protocol": "openai", **way}) for way in ways]
        opened = [
            open_remote(RewardModelSection(source=server.url, remote=s), server.url, REFERENCES) for s in sections
        ]
    assert len({(rm.fingerprint, rm.pipeline_hash) for rm in opened}) == len(ways)
    assert opened[0].fingerprint == opened[2].fingerprint != opened[1].fingerprint
    assert server.seen == [], "to open a judge asks, and costs, nothing"
