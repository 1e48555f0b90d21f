"""The gap along policies: a real run's checkpoints, a list of policies, and one that collapsed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from corpus import Corpus
from corpus.records import Conversation, Prompt
from miner.checkpoints.identity import fingerprint
from miner.errors import ConfigError, DataError
from miner.judging.gold import Answer, Gold
from miner.judging.people_gold import PeoplesGold, peoples_scores, reviews_of
from miner.language_models import LanguageModel
from miner.measuring.diversity.checkpoints import evenly
from miner.measuring.diversity.policy import MeasuredSource
from miner.measuring.diversity.run_checkpoints import read_run, run_info
from miner.measuring.diversity.sampling import SamplePlan
from miner.measuring.gap.run import run_notes
from miner.measuring.gap.series import Series, measure_series
from miner.measuring.measurement_inputs import run_rm
from miner.measuring.overopt.log import read_samples
from miner.progress import Silent
from miner.reviewing.gold_items import gold_items
from miner.testing import ToyRewardModel
from scripts.drills import samples

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

PLAN = SamplePlan(n=4, max_new_tokens=8)


@pytest.fixture
def asked(docs_world: Any) -> tuple[Prompt, ...]:
    return tuple(replace(prompt, group_key=str(at)) for at, prompt in enumerate(docs_world.prompts("held_out")[:6]))


@dataclass(frozen=True)
class Length:
    """Gold that differs wherever texts do, almost; it abstains on ``silent_on``."""

    silent_on: frozenset[Conversation] = frozenset()
    name: str = "length"
    fingerprint: str = "length"
    needs_reference: bool = False

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        return [None if one.prompt in self.silent_on else float(len(one.response)) for one in answers]


def series(asked: tuple[Prompt, ...], folder: Path, *policies: Path, gold: Gold | None = None) -> Series:
    return measure_series(
        ToyRewardModel(),
        [MeasuredSource(label=f"policy {at}", policy=str(policy)) for at, policy in enumerate(policies)],
        asked,
        PLAN,
        gold or Length(),
        folder=folder,
        device="cpu",
        observer=Silent(),
    )


def test_people_who_score_as_the_gold_does_give_its_gap(
    asked: tuple[Prompt, ...], policy_folder: Path, tmp_path: Path
) -> None:
    nobody = PeoplesGold(people=peoples_scores([]))
    with pytest.raises(ConfigError, match=r"6 of 6 prompts left out.*\(gold: people's scores \(rmminer review\)"):
        series(asked, tmp_path / "gap", policy_folder, gold=nobody)
    items = gold_items(tmp_path, 0)
    Corpus(tmp_path / "corpus").append(
        *(
            samples.review(
                review_id=f"{name} {one.item_id}", reviewer=name, mode="gold", item_id=one.item_id,
                score=len(one.texts[0]) + change,
            )
            for one in items
            for name, change in (("Ann", -1.0), ("Bob", 1.0))
        )
    )  # fmt: skip
    people = PeoplesGold(people=peoples_scores(reviews_of([tmp_path])))
    one, other = (series(asked, tmp_path / "gap", policy_folder, gold=gold) for gold in (people, Length()))
    assert {one.prompt for one in items} == {one.conversation for one in asked}
    assert one.selections[0].choice is not None
    assert one.selections[0].choice == other.selections[0].choice


def test_a_collapsed_policy_has_no_gap_and_a_note_and_stops_nothing(
    asked: tuple[Prompt, ...], policy_folder: Path, collapsed_folder: Path, tmp_path: Path
) -> None:
    found = series(asked, tmp_path, policy_folder, collapsed_folder, policy_folder)
    before, collapsed, again = found.selections
    assert collapsed.choice is None
    assert collapsed.distinct.value == 1
    assert before.distinct.value > 3
    assert [note for note in found.notes if note.startswith("policy 1: all samples of a prompt have the same gold")]
    assert again.choice is not None
    assert again.choice.gain_change is not None
    assert again.choice.gain_change.value == 0, "the same policy on the same prompts with the same seeds"
    assert len([note for note in found.notes if "No policy has a chat template" in note]) == 1


def test_a_first_policy_without_a_gap_is_no_start_for_the_others(
    asked: tuple[Prompt, ...], policy_folder: Path, collapsed_folder: Path, tmp_path: Path
) -> None:
    found = series(asked, tmp_path, collapsed_folder, policy_folder)
    assert found.selections[1].choice is not None
    assert found.selections[1].choice.gain_change is None
    assert any("not compared with it" in note for note in found.notes)


def test_where_no_policy_leaves_a_choice_gold_is_named_constant_in_one_line(
    asked: tuple[Prompt, ...], collapsed_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="is constant") as caught:
        series(asked, tmp_path, collapsed_folder, collapsed_folder)
    assert "\n" not in str(caught.value)


def test_prompts_on_which_gold_abstains_are_left_out_with_a_note(
    asked: tuple[Prompt, ...], policy_folder: Path, tmp_path: Path
) -> None:
    one = Length(silent_on=frozenset({asked[2].conversation}))
    found = series(asked, tmp_path, policy_folder, policy_folder, gold=one)
    assert [selection.prompts for selection in found.selections] == [5, 5]
    assert [note for note in found.notes if note.startswith("policy 0: 1 of 6 prompts left out: gold")]
    assert found.selections[1].choice is not None
    assert found.selections[1].choice.gain_change is not None
    two = Length(silent_on=frozenset(prompt.conversation for prompt in asked[2:4]))
    with pytest.raises(ConfigError, match=r"4 prompts .* too few for an interval.* 2 of 6 prompts left out") as caught:
        series(asked, tmp_path, policy_folder, gold=two)
    assert "\n" not in str(caught.value)


def test_stored_samples_are_used_again_for_every_policy(
    asked: tuple[Prompt, ...], policy_folder: Path, collapsed_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    once = series(asked, tmp_path, policy_folder, collapsed_folder)
    monkeypatch.setattr(LanguageModel, "sample", None)
    assert series(asked, tmp_path, policy_folder, collapsed_folder) == once
    assert len(list((tmp_path / "samples").glob("*.jsonl"))) == 2


def test_what_could_have_no_interval_is_refused_before_anything_is_sampled(
    asked: tuple[Prompt, ...], policy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LanguageModel, "sample", None)
    with pytest.raises(ConfigError, match="too few for an interval"):
        series(asked[:4], tmp_path, policy_folder)
    one = replace(PLAN, n=1)
    with pytest.raises(ConfigError, match="two samples or more"):
        measure_series(
            ToyRewardModel(), [MeasuredSource(label="p", policy=str(policy_folder))], asked, one, Length(),
            folder=tmp_path, device="cpu", observer=Silent(),
        )  # fmt: skip


@pytest.mark.parametrize(("at_most", "kept"), [(None, range(11)), (20, range(11)), (3, (0, 5, 10)), (2, (0, 10))])
def test_checkpoints_are_thinned_evenly_and_keep_both_ends(at_most: int | None, kept: Any) -> None:
    sources = [MeasuredSource(label=str(step)) for step in range(11)]
    assert [one.label for one in evenly(sources, at_most)] == [str(step) for step in kept]
    with pytest.raises(ConfigError, match="2 or more"):
        evenly(sources, 1)


def test_a_run_gives_its_start_and_its_checkpoints_with_kl_and_gold(rl_run: Path, policy_folder: Path) -> None:
    found = read_run(rl_run, start=str(policy_folder))
    assert [one.label for one in found] == ["step 0", "step 2", "step 4", "step 6"]
    assert found[0].policy == str(policy_folder)
    kl = [row.kl for row in read_samples(rl_run) if row.step == 6]
    gold = [row.gold for row in read_samples(rl_run) if row.step == 6]
    assert found[0].sqrt_kl == 0
    assert found[-1].sqrt_kl == pytest.approx(max(0, sum(kl) / len(kl)) ** 0.5)
    assert found[-1].gold == pytest.approx(sum(gold) / len(gold))


def test_what_is_no_run_or_lacks_its_checkpoints_is_named(
    rl_run: Path, policy_folder: Path, collapsed_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"not the policy that rl-kl0\.1-seed0 started from"):
        read_run(rl_run, start=str(collapsed_folder))
    with pytest.raises(DataError, match=f"Give one of its runs: {rl_run}"):
        run_info(rl_run.parent)
    with pytest.raises(DataError, match=r"it has no run\.json"):
        run_info(tmp_path)
    bare = tmp_path / "run"
    shutil.copytree(rl_run, bare, ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(DataError, match="no checkpoints"):
        read_run(bare, start=str(policy_folder))


def test_where_run_and_measurement_differ_the_report_says_so(rl_run: Path) -> None:
    info = run_info(rl_run)
    notes = run_notes(replace(info, settings={**info.settings, "min_new_tokens": 3}), ToyRewardModel(), PLAN)
    assert ["against another reward" in notes[0], "answers of 6 tokens" in notes[1], "before 3 tokens" in notes[2]] == [
        True, True, True,
    ]  # fmt: skip


def one_line(result: tuple[int, str, str]) -> str:
    code, _, err = result
    assert code == 2, result
    assert "Traceback" not in err
    errors = [line for line in err.strip().splitlines() if line.startswith("rmminer: ")]
    assert len(errors) == 1
    assert err.strip().splitlines()[-1] == errors[0]
    return errors[0]


def test_the_gap_along_a_run_needs_nothing_but_its_folder_and_a_gold(
    run: Any, rl_run: Path, tiny_rm_folder: Path, tmp_path: Path
) -> None:
    given = ("gap", "--checkpoints", rl_run, "--prompts", 8, "--samples", 4, "--at-most", 3, "--out", tmp_path / "gap",
             "--gold-rm", tiny_rm_folder)  # fmt: skip
    code, out, err = run(*given, "--dry-run", "--json")
    assert (code, json.loads(out)["policies"], json.loads(out)["samples"]) == (0, 3, 96), err
    code, out, err = run(*given, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["settings"]["max_new_tokens"] == 6, "the run's own length"
    assert found["settings"]["run"] == "rl-kl0.1-seed0"
    assert len(found["selections"]) == 3
    assert [one["label"] for one in found["selections"]][::2] == ["step 0", "step 6"]
    assert found["selections"][0]["choice"]["gain_change"] is None
    assert found["selections"][2]["choice"]["gain_change"]["n"] == 8
    assert not any("against another reward" in note for note in found["notes"]), "the RM is the run's"
    assert (tmp_path / "gap" / "plots" / "gap_series.png").exists()
    code, out, _ = run(*given)
    assert code == 0
    assert "change: since step 0, in pairs" in out
    assert "ranks two samples as gold does: " in out


def test_a_list_of_policies_is_measured_with_one_named_in_front(
    run: Any, tiny_rm_folder: Path, policy_folder: Path, collapsed_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    campaign_file = tmp_path / "gold.toml"
    campaign_file.write_text(
        f'[rm]\nsource = "{tiny_rm_folder}"\nmax_length = 64\n'
    )  # shorter than the texts: cut as the RM cuts
    listed = tmp_path / "policies.jsonl"
    listed.write_text(
        json.dumps({"label": "same", "policy": str(policy_folder)})
        + "\n"
        + json.dumps({"label": "collapsed", "policy": str(collapsed_folder), "sqrt_kl": 2.5})
    )
    given = ("gap", "--rm", tiny_rm_folder, "--data", preference_file, "--prompts", 8, "--samples", 4,
             "--max-new-tokens", 6, "--dtype", "float32", "--checkpoints", listed,
             "--gold-rm", f"{tiny_rm_folder}, {campaign_file}", "--set", "rm.truncation=left")  # fmt: skip
    code, out, err = run(*given, "--policy", policy_folder, "--json")
    assert code == 0, err
    assert json.loads(out)["settings"]["gold"] == f"reward of mean of {tiny_rm_folder.name}, {tiny_rm_folder.name}"
    before, same, collapsed = json.loads(out)["selections"]
    assert before["label"] == policy_folder.name
    assert same["choice"]["gain_change"]["value"] == 0
    assert (collapsed["choice"], collapsed["sqrt_kl"]) == (None, 2.5)
    code, out, _ = run(*given)
    assert code == 0
    assert "nothing to choose" in out


@pytest.fixture
def patched_run(rl_run: Path, tiny_rm_folder: Path, tmp_path: Path) -> Path:
    """The same run in a campaign of its own, as one against the RM of round 1, which likes all twice as much."""
    campaign = tmp_path / "campaign"
    place = campaign / "overopt-round1" / rl_run.name
    shutil.copytree(rl_run, place)
    shutil.copy(rl_run.parents[1] / "campaign.toml", campaign)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_rm_folder)
    with torch.no_grad():
        model.classifier.weight.mul_(2)
    model.save_pretrained(campaign / "rounds" / "1" / "model")
    AutoTokenizer.from_pretrained(tiny_rm_folder).save_pretrained(campaign / "rounds" / "1" / "model")
    return place


def test_a_run_against_a_patched_rm_is_measured_with_that_rm(
    run: Any, patched_run: Path, tiny_rm_folder: Path, tmp_path: Path
) -> None:
    given = ("gap", "--checkpoints", patched_run, "--prompts", 8, "--samples", 3, "--at-most", 2,
             "--gold-rm", tiny_rm_folder, "--json")  # fmt: skip
    model = patched_run.parents[1] / "rounds" / "1" / "model"
    own, other = (
        json.loads(run(*given, *more, "--out", tmp_path / name)[1])
        for name, more in (("own", ()), ("other", ("--rm", tiny_rm_folder)))
    )
    assert own["settings"]["rm_fingerprint"] == fingerprint(model)
    assert other["settings"]["rm_fingerprint"] == fingerprint(tiny_rm_folder)
    shutil.rmtree(model)
    assert "against the RM of round 1" in one_line(run(*given))


def test_only_a_run_has_an_rm_of_its_own(patched_run: Path, rl_run: Path, tmp_path: Path) -> None:
    assert run_rm(patched_run) == str(patched_run.parents[1] / "rounds" / "1" / "model")
    assert run_rm(rl_run) is None, "its campaign was given a folder, and keeps no copy of it"
    assert run_rm(tmp_path / "policies.jsonl") is None
    assert run_rm(None) is None


def test_a_gold_that_is_no_rm_is_refused_in_one_line(run: Any, rl_run: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.write_text("out = 'x'\n")
    given = ("gap", "--checkpoints", rl_run, "--prompts", 8, "--samples", 3, "--gold-rm")
    assert "names no RM" in one_line(run(*given, empty))
    assert "names no RM" in one_line(run(*given, " , "))
    assert "no model folder" in one_line(run(*given, "./nowhere"))
    assert "no gold" in one_line(run(*given, "none"))


def test_bad_checkpoints_are_one_line_and_status_2(
    run: Any, rl_run: Path, collapsed_folder: Path, tiny_rm_folder: Path, tmp_path: Path
) -> None:
    small = ("--samples", 3, "--out", tmp_path / "gap")
    nowhere, empty, texts = tmp_path / "nowhere", tmp_path / "empty.jsonl", tmp_path / "texts.jsonl"
    assert "cannot read the checkpoints" in one_line(run("gap", "--checkpoints", nowhere, *small))
    assert "no run of rmminer overopt" in one_line(run("gap", "--checkpoints", tmp_path, *small))
    assert "not the policy" in one_line(run("gap", "--checkpoints", rl_run, "--policy", collapsed_folder, *small))
    assert "no model folder" in one_line(run("gap", "--checkpoints", rl_run, "--policy", "./nowhere", *small))
    assert "too few for an interval" in one_line(run("gap", "--checkpoints", rl_run, "--prompts", 3, *small))
    assert "--prompts 0" in one_line(run("gap", "--checkpoints", rl_run, "--prompts", 0, *small))
    empty.write_text("\n")
    assert "names no checkpoint" in one_line(run("gap", "--checkpoints", empty, *small))
    texts.write_text('{"label": "t", "texts": "t.jsonl"}\n')
    (tmp_path / "t.jsonl").write_text('{"prompt": "p", "text": "t"}\n')
    assert "t is texts" in one_line(run("gap", "--checkpoints", texts, "--rm", tiny_rm_folder, *small))


def test_diversity_reads_the_same_run(run: Any, rl_run: Path, tiny_rm_folder: Path, tmp_path: Path) -> None:
    code, out, err = run(
        "diversity", "--checkpoints", rl_run, "--at-most", 2, "--embedding", tiny_rm_folder, "--prompts", 8,
        "--samples", 4, "--off-mode-tokens", 0, "--out", tmp_path / "diversity", "--json",
    )  # fmt: skip
    assert code == 0, err
    sides = json.loads(out)["sides"]
    assert [side["label"] for side in sides] == ["step 0", "step 6"]
    assert sides[0]["sqrt_kl"] == 0
    assert sides[1]["changes"]
