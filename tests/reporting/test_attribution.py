from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from corpus import Corpus
from miner.errors import ModelError
from miner.reporting import Attribution, TokenAttribution, write_report
from miner.reporting.attribution import attribute_findings
from miner.reporting.reading import read_run
from miner.rewards import Pair, load_reward_model
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.compute.attribution import attribute, baseline_token
from miner.rewards.heatmap import heat_map, segments
from miner.safe_text import visible
from tests.reporting.html import parse
from tests.reporting.models import tiny_bert, tiny_llama
from tests.reporting.samples import HOSTILE, conversation, finding, fingerprint, summarise, write_run

PROMPT = conversation("os.path.join")
TEXT = "the file of the tree to or to return blogs."


pytestmark = pytest.mark.usefixtures("no_plots")


@pytest.fixture(scope="module", params=[tiny_bert, tiny_llama], ids=["encoder", "causal"])
def rm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformerRewardModel:
    return load_reward_model(request.param(tmp_path_factory.mktemp("rm")), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> TransformerRewardModel:
    return load_reward_model(tiny_bert(tmp_path_factory.mktemp("bert")), device="cpu", dtype="float32")


def masked_reward(rm: TransformerRewardModel, pair: Pair) -> float:
    """The reward after the response's rows of the embedding output are replaced: nothing of captum in it."""
    encoded = rm.pipeline.encode(pair)
    module = rm.model.get_input_embeddings()
    blank = module.get_parameter("weight")[baseline_token(rm)]

    def replaced(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        changed = output.clone()
        changed[:, list(encoded.positions)] = blank
        return changed

    hook = module.register_forward_hook(replaced)
    try:
        return rm.reward(pair)
    finally:
        hook.remove()


@pytest.mark.parametrize("text", [TEXT, *HOSTILE[:2], *HOSTILE[4:7]])
def test_attributions_sum_to_the_reward_gained_over_the_masked_response(rm: TransformerRewardModel, text: str) -> None:
    pair = Pair(PROMPT, text)
    found = attribute(rm, pair, n_steps=64)
    assert found is not None
    gained = rm.reward(pair) - masked_reward(rm, pair)
    assert abs(gained) > 1e-3
    assert found.reward == rm.reward(pair)
    assert found.rise == pytest.approx(gained, abs=1e-4)
    assert sum(found.values) == pytest.approx(gained, abs=0.01 * max(abs(v) for v in (gained, *found.values)))
    assert found.relative_error < 0.01


def test_completeness_error_is_measured_not_assumed(rm: TransformerRewardModel) -> None:
    pair = Pair(PROMPT, TEXT)
    coarse = attribute(rm, pair, n_steps=1)
    assert coarse is not None
    gained = rm.reward(pair) - masked_reward(rm, pair)
    assert coarse.rise == pytest.approx(gained, abs=1e-4)
    assert coarse.completeness_error == pytest.approx(sum(coarse.values) - gained, abs=1e-4)
    assert abs(coarse.completeness_error) > 1e-4


def test_token_that_equals_the_mask_is_credited_nothing(bert: TransformerRewardModel) -> None:
    weights = bert.model.get_input_embeddings().get_parameter("weight")
    word = bert.pipeline.tokenizer.convert_tokens_to_ids("file")
    kept = weights[word].clone()
    with torch.no_grad():
        weights[word] = weights[baseline_token(bert)]
    try:
        found = attribute(bert, Pair(PROMPT, TEXT))
    finally:
        with torch.no_grad():
            weights[word] = kept
    assert found is not None
    by_token = {TEXT[start:end]: value for (start, end), value in zip(found.spans, found.values, strict=True)}
    assert by_token["file"] == 0
    assert all(value != 0 for token, value in by_token.items() if token != "file")


def attribution_of(spans: list[tuple[int, int]]) -> TokenAttribution:
    values = tuple(float(i + 1) * (-1) ** i for i in range(len(spans)))
    return TokenAttribution(
        spans=tuple(spans), values=values, reward=1.0, rise=sum(values), completeness_error=0.0
    )  # fmt: skip


@given(st.text(max_size=30), st.data())
def test_heat_map_covers_the_whole_response_and_keeps_every_value(text: str, data: st.DataObject) -> None:
    ends = st.integers(0, len(text))
    pairs = data.draw(st.lists(st.tuples(ends, ends), max_size=8))
    found = attribution_of([(min(pair), max(pair)) for pair in pairs if min(pair) < max(pair)])
    pieces = segments(text, found)
    assert "".join(piece.text for piece in pieces) == text
    assert sum(piece.value for piece in pieces if piece.value is not None) == pytest.approx(sum(found.values))
    assert parse(f"<p>{heat_map(text, found)}</p>").text == visible(text)


def test_colour_follows_sign_and_size() -> None:
    found = TokenAttribution(
        spans=((0, 1), (1, 2), (2, 3)), values=(2.0, -1.0, 0.01), reward=0, rise=1.01, completeness_error=0
    )
    classes = [node.attributes["class"].split()[1] for node in parse(heat_map("abc", found)).all("span")]
    assert classes == ["up6", "down3", "level0"]


def stamped(rm: TransformerRewardModel) -> Attribution:
    """Gives one tiny RM the fingerprint of whichever round is asked for."""

    def load(source: str) -> TransformerRewardModel:
        rm.fingerprint = fingerprint(int(source[-1]))
        return rm

    return Attribution(load=load, n_steps=16, max_findings=9)


def test_report_shows_heat_maps_of_the_top_findings(tmp_path: Path, bert: TransformerRewardModel) -> None:
    write_run(tmp_path, findings=14)
    told: list[tuple[int, int]] = []
    files = write_report(tmp_path, attribution=stamped(bert), progress=lambda done, of: told.append((done, of)))
    assert files.notes == []
    assert told == [(i, 9) for i in range(1, 10)]
    rows = list(parse(files.html.read_text(encoding="utf-8")).all("tr", class_="finding"))
    stored = {visible(one.response) for one in Corpus(tmp_path / "corpus").findings()}
    heated = [row for row in rows if list(row.all("span", class_="token"))]
    assert heated == rows[:9]
    assert {next(row.all("div", class_="text")).text for row in rows} == stored
    assert all("Attributions distribute a rise of" in row.text for row in heated)
    assert "The RM scores this text" in heated[0].text  # the recorded rewards are not this RM's


def test_reward_that_agrees_is_not_called_changed(tmp_path: Path, bert: TransformerRewardModel) -> None:
    summarise(rounds=1).write(tmp_path)
    one = finding(1)
    Corpus(tmp_path / "corpus").append(replace(one, reward=bert.reward(Pair(one.prompt, one.response))))
    files = write_report(tmp_path, attribution=stamped(bert))
    text = files.html.read_text(encoding="utf-8")
    assert "Attributions distribute" in text
    assert "The RM scores this text" not in text


def test_another_rm_than_the_recorded_one_attributes_nothing(tmp_path: Path, bert: TransformerRewardModel) -> None:
    write_run(tmp_path, findings=4, rounds=1)
    bert.fingerprint = "another"
    files = write_report(tmp_path, attribution=Attribution(load=lambda _source: bert))
    assert "they fooled another RM" in files.notes[0]
    text = files.html.read_text(encoding="utf-8")
    assert "they fooled another RM" in text
    assert "Attributions distribute" not in text


def test_rm_that_cannot_be_loaded_is_noted(tmp_path: Path) -> None:
    def load(source: str) -> TransformerRewardModel:
        raise ModelError(f"no model {source!r}")

    write_run(tmp_path, findings=4, rounds=2)
    notes = write_report(tmp_path, attribution=Attribution(load=load)).notes
    assert len(notes) == 2
    assert "no model 'models/round-0'" in notes[0]


def test_rm_is_the_folder_that_the_summary_names(tmp_path: Path) -> None:
    write_run(tmp_path, findings=2, rounds=1)
    tiny_bert(tmp_path / "models" / "round-0")
    notes = write_report(tmp_path, attribution=Attribution()).notes
    assert str(tmp_path / "models" / "round-0") in notes[0]  # loaded, and found to be another RM than the sample's


def test_time_limit_stops_the_work_and_is_told(tmp_path: Path, bert: TransformerRewardModel) -> None:
    write_run(tmp_path, findings=6, rounds=1)
    run = read_run(tmp_path)
    results = attribute_findings(run, run.findings, replace(stamped(bert), time_limit_s=0))
    assert results.by_finding == {}
    assert "stopped after its 0 s: 0 of 6" in results.notes[0]


def test_response_that_the_rm_does_not_read_in_full_stays_plain(tmp_path: Path, bert: TransformerRewardModel) -> None:
    summarise(rounds=1).write(tmp_path)
    Corpus(tmp_path / "corpus").append(finding(1, response="the " * 400))
    files = write_report(tmp_path, attribution=stamped(bert))
    row = next(parse(files.html.read_text(encoding="utf-8")).all("tr", class_="finding"))
    assert next(row.all("div", class_="text")).text == "the " * 400
    assert "Not attributed." in row.text


def test_values_do_not_depend_on_how_the_path_is_batched(bert: TransformerRewardModel) -> None:
    whole = attribute(bert, Pair(PROMPT, TEXT), n_steps=16)
    before, bert.budget.batch_tokens = bert.budget.batch_tokens, 1
    try:
        in_pieces = attribute(bert, Pair(PROMPT, TEXT), n_steps=16)
    finally:
        bert.budget.batch_tokens = before
    assert whole is not None
    assert in_pieces is not None
    np.testing.assert_allclose(whole.values, in_pieces.values, rtol=1e-4, atol=1e-6)
