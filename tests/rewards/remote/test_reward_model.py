"""A served RM gives, over HTTP, what it gives here; and no server makes it give anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attacks import known_attacks
from corpus.records import Conversation, Message, Prompt
from miner.config.campaign import parse_config
from miner.config.reward_model import RewardModelSection
from miner.errors import CapabilityError, ConfigError, ModelError, OutageError, RemoteError, TooLongError
from miner.rewards import Pair, RewardModel, load_reward_model
from miner.rewards.opening import open_reward_model
from miner.rewards.remote import RemoteRewardModel
from miner.rewards.remote.words import WordEdits
from miner.searching.oracle import Oracle
from miner.serving import RewardServer
from miner.testing import ToyRewardModel
from tests.rewards.remote import faults
from tests.rewards.remote.faults import faulty_server

TOLERANCE = 1e-4
PROMPT: Conversation = (Message(role="user", content="What does this function do with a file?"),)
TALK = (*PROMPT, Message(role="assistant", content="Which one?"), Message(role="user", content="The second."))
PAIRS = [
    Pair(PROMPT, "It opens the file."),
    Pair(TALK, "It returns the name of the file, or None where there is none."),
    Pair(PROMPT, ""),
    Pair(PROMPT, "naïve 🙂 \n\t text </s>"),
    Pair(PROMPT, "It opens the file."),
    *(Pair(PROMPT, "word " * n) for n in range(1, 30)),
]
REFERENCES = {PROMPT: " ".join(f"{a}{b}" for a in "bcdfg" for b in ("at", "en", "il", "og", "un", "ay", "er"))}
OpenAt = Callable[..., RemoteRewardModel]


@pytest.fixture(scope="module")
def local(tiny_rm_folder: Path) -> RewardModel:
    return load_reward_model(tiny_rm_folder, device="cpu", dtype="bfloat16")


@pytest.fixture(scope="module")
def server(local: RewardModel) -> Iterator[RewardServer]:
    running = RewardServer(rm=local, port=0)
    running.start()
    yield running
    running.close()


def open_at(url: str, **remote: Any) -> RemoteRewardModel:
    section = RewardModelSection.model_validate({"source": url, "remote": {"retries": 1, "give_up_s": 5.0, **remote}})
    found = open_reward_model(section, REFERENCES)
    assert isinstance(found, RemoteRewardModel)
    return found


@pytest.fixture(scope="module")
def remote(server: RewardServer) -> RemoteRewardModel:
    return open_at(server.url, batch=7)


def test_it_is_the_served_rm(remote: RemoteRewardModel, local: RewardModel) -> None:
    assert remote.fingerprint == local.fingerprint
    assert (remote.reward_dtype, remote.ranking_dtype) == ("float32", "bfloat16")
    assert set(remote.special_tokens) == set(local.special_tokens)
    assert remote.name == local.name
    assert remote.pipeline_hash != local.pipeline_hash, "its edits are drawn from other words"
    assert not remote.is_trainable
    assert not remote.is_relative


def test_a_served_rm_that_compares_sets_its_bar_by_second_answers(
    local: RewardModel, server: RewardServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "is_relative", True)
    remote = open_at(server.url)
    prompts = [Prompt(conversation=PROMPT, reference="Good.", rejected=("Bad.",)), Prompt(conversation=TALK)]
    assert remote.is_relative
    assert remote.clean_pairs(prompts) == [Pair(PROMPT, "Bad.")]
    with pytest.raises(ModelError, match="only compares, and 1 of 2 prompts"):
        remote.require_prompts(prompts)


def test_lengths_survive_a_cache_that_is_full(remote: RemoteRewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.rewards.remote.endpoints.LENGTHS_KEPT", 8)
    pairs = [Pair(PROMPT, f"word {n}") for n in range(30)]
    assert remote.lengths(pairs[:6]) == remote.lengths(pairs)[:6]


def test_a_key_that_is_echoed_is_never_shown_not_even_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-" + "ABCDEFGH" * 4
    monkeypatch.setenv("THE_KEY", key)
    body = f"{'x' * 100} Incorrect key {key}"
    with (
        faulty_server(lambda _path, _payload: faults.status(401, body)) as server,
        pytest.raises(RemoteError) as caught,
    ):
        open_at(server.url, key_env="THE_KEY")
    assert "sk-" not in str(caught.value)


def test_rewards_are_those_of_the_rm_where_it_is_served(remote: RemoteRewardModel, local: RewardModel) -> None:
    exact = local.exact_rewards(PAIRS)
    assert np.ptp(exact) > 1
    np.testing.assert_allclose(remote.exact_rewards(PAIRS), exact, atol=TOLERANCE)
    np.testing.assert_allclose([remote.reward(pair) for pair in PAIRS[:6]], exact[:6], atol=TOLERANCE)
    np.testing.assert_allclose(remote.rewards(PAIRS)[::-1], remote.rewards(PAIRS[::-1]), atol=0.1)
    assert np.abs(remote.rewards(PAIRS) - exact).max() > TOLERANCE, "it ranks in the dtype it is served in"
    assert np.corrcoef(remote.rewards(PAIRS), exact)[0, 1] > 0.97
    assert remote.rewards([]).shape == (0,)


def test_lengths_are_counted_where_the_rm_is(remote: RemoteRewardModel, local: RewardModel) -> None:
    assert remote.lengths(PAIRS) == local.lengths(PAIRS)
    assert remote.n_tokens(PAIRS[1]) == local.n_tokens(PAIRS[1])


def test_a_text_too_long_is_the_error_it_is_here(remote: RemoteRewardModel, local: RewardModel) -> None:
    long = Pair(PROMPT, "word " * 400)
    for ask in (local.rewards, remote.rewards, remote.exact_rewards, lambda pairs: remote.reward(pairs[0])):
        with pytest.raises(TooLongError, match="maximum"):
            ask([long, *PAIRS[:3]])
    with pytest.raises(TooLongError, match="maximum"):
        remote.n_tokens(long)
    assert remote.n_tokens(PAIRS[0]) > 0


def test_gradients_are_refused_before_anything_runs(remote: RemoteRewardModel) -> None:
    attacks = known_attacks()
    oracle = Oracle(rm=remote)
    for name in ("gcg", "universal", "relax", "attribution"):
        with pytest.raises(CapabilityError, match="only scores"):
            oracle.require(attacks[name]())
    for name in ("random", "corrupt", "transfer", "single_token"):
        oracle.require(attacks[name]())


def test_equal_texts_are_asked_once_and_in_batches() -> None:
    with scores_server() as server:
        rm = open_at(server.url, batch=4, concurrency=2)
        server.seen.clear()
        rewards = rm.rewards([Pair(PROMPT, text) for text in ("b", "aa", "b", "ccc", "aa", "dddd", "eeeee", "b")])
    assert rewards.tolist() == [1, 2, 1, 3, 2, 4, 5, 1]
    asked = [item["response"] for _, payload in server.seen for item in payload["items"]]
    assert sorted(asked) == ["aa", "b", "ccc", "dddd", "eeeee"]
    assert max(len(payload["items"]) for _, payload in server.seen) <= 4


INFO = {
    "name": "stub",
    "fingerprint": "f1",
    "pipeline_hash": "p1",
    "reward_dtype": "float32",
    "ranking_dtype": "float32",
    "special_tokens": [],
    "flops_per_token": 2.0,
    "compares": False,
}


def scores_server(script: Any = None, **changes: Any) -> Any:
    def answer(path: str, payload: Any) -> Any:
        if path == "/info":
            return {**INFO, **changes}
        lengths = [len(item["response"]) for item in payload["items"]]
        return {"fingerprint": "f1", "rewards": [float(n) for n in lengths], "n_tokens": lengths}

    return faulty_server(answer, script)


def test_another_rm_behind_the_same_address_is_refused() -> None:
    with scores_server() as server:
        rm = open_at(server.url)
        server.answer = lambda *_: {"fingerprint": "f2", "rewards": [1.0], "n_tokens": [1]}
        with pytest.raises(RemoteError, match="now serves another RM"):
            rm.rewards(PAIRS[:1])


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"fingerprint": "f1", "rewards": [1.0, 2.0], "n_tokens": [1]}, "2 rewards for 1 texts"),
        ({"fingerprint": "f1", "rewards": [1.0], "n_tokens": []}, "lengths of 1 texts"),
        ({"fingerprint": "f1", "rewards": [1.0], "n_tokens": [-4]}, "lengths of 1 texts"),
        ({"fingerprint": "f1", "rewards": [1.0], "n_tokens": ["many"]}, "lengths of 1 texts"),
        ({"rewards": [1.0], "n_tokens": [1]}, "no 'fingerprint'"),
        ([], "no 'fingerprint'"),
    ],
)
def test_an_answer_that_is_none_is_an_error_and_no_reward(answer: Any, found: str) -> None:
    with scores_server() as server:
        rm = open_at(server.url)
        server.answer = lambda *_: answer
        with pytest.raises(OutageError, match=found):
            rm.rewards(PAIRS[:1])


@pytest.mark.parametrize("missing", INFO)
def test_a_server_that_does_not_say_what_it_serves_is_refused(missing: str) -> None:
    with scores_server(**{missing: None}) as server, pytest.raises(OutageError, match=missing):
        open_at(server.url)


def test_a_refused_conversation_is_the_model_error_it_is_here() -> None:
    refusal = '{"error": {"code": "refused", "message": "the template refuses turns of system"}}'
    with scores_server() as server:
        rm = open_at(server.url)
        server.script = [faults.status(422, refusal)]
        with pytest.raises(ModelError, match="refuses turns of system"):
            rm.rewards(PAIRS[:1])


def test_an_rm_that_gives_no_number_where_it_is_served_is_an_error() -> None:
    class Lost(ToyRewardModel):
        device, flops_per_token = "cpu", 1.0

        def rewards(self, pairs: Any) -> Any:
            return np.full(len(pairs), np.nan)

    served = RewardServer(rm=Lost(), port=0)
    served.start()
    try:
        with pytest.raises(RemoteError, match="gives no number for 2 of 2 texts"):
            open_at(served.url).rewards(PAIRS[:2])
    finally:
        served.close()


def test_words_come_from_the_data(remote: RemoteRewardModel) -> None:
    rng = np.random.default_rng(0)
    known = set(REFERENCES[PROMPT].split()) | set(PROMPT[0].content.strip("?").split())
    assert set(remote.words(50, rng)) <= known
    assert set(remote.all_tokens()) <= known
    swaps = remote.random_swaps(Pair(PROMPT, "one two, three"), 40, rng)
    assert len(set(swaps)) == 40
    texts = {swap.apply("one two, three") for swap in swaps}
    assert all(len(text.split()) == 3 for text in texts)
    assert remote.random_swaps(Pair(PROMPT, "  "), 4, rng) == ()
    tiny = WordEdits(("ab", "cd"))
    assert {swap.replacement for swap in tiny.random_swaps(Pair(PROMPT, "ab"), 9, rng)} == {"cd"}


def test_ascii_only_words_are_ascii() -> None:
    texts = [REFERENCES[PROMPT], "naïveté Übung"]
    assert "naïveté" in WordEdits.of(texts, ascii_only=False).words
    assert all(word.isascii() for word in WordEdits.of(texts, ascii_only=True).words)


def test_too_few_words_are_refused_with_the_fix() -> None:
    with pytest.raises(ConfigError, match=r"rm\.remote\.tokenizer"):
        WordEdits.of(["only these few words"], ascii_only=False)


def test_with_the_tokenizer_the_edits_are_those_of_the_local_rm(
    server: RewardServer, local: RewardModel, tiny_rm_folder: Path
) -> None:
    rm = open_at(server.url, tokenizer=str(tiny_rm_folder))
    pair = Pair(PROMPT, "it opens the file again")
    assert rm.all_tokens() == local.all_tokens()
    for seed in range(3):
        same = [one.random_swaps(pair, 20, np.random.default_rng(seed)) for one in (rm, local)]
        assert same[0] == same[1]
        assert rm.words(9, np.random.default_rng(seed)) == local.words(9, np.random.default_rng(seed))


def test_other_words_are_another_pipeline(server: RewardServer, tiny_rm_folder: Path, remote: RewardModel) -> None:
    with_tokens = open_at(server.url, tokenizer=str(tiny_rm_folder))
    assert with_tokens.pipeline_hash != remote.pipeline_hash
    assert open_at(server.url).pipeline_hash == remote.pipeline_hash


def test_pooling_asks_our_server_as_it_asks_vllm(server: RewardServer, local: RewardModel) -> None:
    rm = open_at(server.url + "/v1", protocol="pooling", model="any")
    np.testing.assert_allclose(rm.rewards(PAIRS[:8]), local.exact_rewards(PAIRS[:8]), atol=TOLERANCE)
    assert rm.fingerprint != local.fingerprint


def vllm(script: Any = None) -> Any:
    """The answers of vLLM's ``/pooling`` to rendered texts and chats: the length of what is scored."""

    def answer(path: str, payload: Any) -> Any:
        assert path == "/pooling"
        assert payload["model"] == "rm"
        texts = payload.get("input") or [payload["messages"][-1]["content"]]
        rows = [{"index": n, "object": "pooling", "data": [float(len(text))]} for n, text in enumerate(texts)]
        return {"id": "pool-1", "object": "list", "model": "rm", "data": rows[::-1], "usage": {"total_tokens": 9}}

    return faulty_server(answer, script)


def test_pooling_with_a_chat_template_renders_here_and_sends_many_texts(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate(["[UNK]", "</s>", *REFERENCES[PROMPT].split()])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", eos_token="</s>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    pairs = [Pair(PROMPT, "x" * n) for n in range(6)]
    with vllm() as server:
        rm = open_at(server.url, protocol="pooling", model="rm", tokenizer=str(tmp_path), batch=4)
        rewards = rm.rewards(pairs)
    rendered = [f"user: {PROMPT[0].content}</s>assistant: {pair.response}</s>" for pair in pairs]
    assert sorted(text for _, payload in server.seen for text in payload["input"]) == sorted(rendered)
    assert rewards.tolist() == [len(text) for text in rendered]
    assert all(payload["add_special_tokens"] is False for _, payload in server.seen)
    assert all(payload["use_activation"] is False for _, payload in server.seen), "a reward is no probability"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([{"index": 0, "data": [0.1, 0.9]}], "2 numbers a text"),
        ([{"index": 0, "data": []}], "0 numbers a text"),
        ([{"index": 1, "data": [0.5]}], "1 rewards for 1 texts"),
        ([], "0 rewards for 1 texts"),
        ([{"index": 0, "data": "AAAA"}], "'data' of its answer"),
    ],
)
def test_pooling_takes_one_number_a_text_and_nothing_else(data: Any, error: str) -> None:
    with vllm() as server:
        server.answer = lambda *_: {"data": data}
        with pytest.raises(RemoteError, match=error):
            open_at(server.url, protocol="pooling", model="rm").rewards(PAIRS[:1])


def test_pooling_of_every_token_reads_the_last() -> None:
    with vllm() as server:
        server.answer = lambda *_: {"data": [{"index": 0, "data": [[0.1], [0.2], [0.7]]}]}
        assert open_at(server.url, protocol="pooling", model="rm").rewards(PAIRS[:1]).tolist() == [0.7]


def test_what_vllm_calls_too_long_has_no_reward() -> None:
    said = '{"error": {"message": "This model\'s maximum context length is 4096 tokens", "code": 400}}'
    with vllm() as server:
        rm = open_at(server.url, protocol="pooling", model="rm", concurrency=1)
        server.script = [faults.status(400, said)]
        rewards = rm.rewards(PAIRS[:2])
    assert np.isnan(rewards[0])
    assert np.isfinite(rewards[1])


BAD_SECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "key in the address": ({"source": "http://user:sk-secret@host"}, "key_env"),
    "key in a query": ({"source": "https://host/v1?key=sk-secret"}, "key_env"),
    "key for a name": ({"source": "http://host", "remote": {"key_env": "sk-secret"}}, "never the key itself"),
    "no model": ({"source": "http://host", "remote": {"protocol": "openai"}}, "rm.remote.model"),
    "no price": ({"source": "http://host", "remote": {"max_cost": 1.0}}, "price_per_1k_tokens"),
    "a folder": ({"source": "some/folder", "kind": "remote"}, "address"),
    "misspelt": ({"source": "http://host", "remote": {"concurency": 1}}, "did you mean 'concurrency'"),
    "range": ({"source": "http://host", "remote": {"judge": {"low": 5, "high": 5}}}, "below high"),
    "template": ({"source": "http://host", "remote": {"judge": {"template": "{prompt}"}}}, "{response}"),
    "two digits": ({"source": "http://host", "remote": {"judge": {"logprobs": True}}}, "one digit"),
}


@pytest.mark.parametrize("name", BAD_SECTIONS)
def test_a_bad_table_is_one_line_and_shows_no_secret(name: str) -> None:
    section, found = BAD_SECTIONS[name]
    with pytest.raises(ConfigError, match=found) as caught:
        parse_config({"rm": section, "data": {"source": "x"}, "out": "y"}, where="here")
    assert "sk-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
