"""README.md and docs/: generated parts are fresh, links lead somewhere, and every command and example runs."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import typer

from attacks.registry import BUILT_IN
from attacks.registry import ENTRY_POINTS as ATTACK_ENTRY_POINTS
from miner.cli.entry import app
from miner.config.campaign import CampaignConfig, parse_config
from miner.config.kinds import POLICIES, REWARD_MODELS
from miner.config.reward_model import ConfigSection, RewardModelSection
from miner.judging.checks import Subject, calibrate
from miner.judging.checks.registry import GROUP as CHECK_ENTRY_POINTS
from miner.reporting.sections import GROUP as SECTION_ENTRY_POINTS
from scripts.docs_pages.pages import BLOCKS, names_of_blocks, stale, write
from tests.pages import CODE, LINK, OURS, PAGES, README, ROOT, Block, anchors, blocks, commands, prose, text_of


def rm_tables(above: type[ConfigSection] = RewardModelSection) -> list[type[ConfigSection]]:
    """The tables below ``[rm]``, those inside them, too."""
    inner = [
        one
        for key in above.model_fields.values()
        for one in (key.annotation, *get_args(key.annotation))
        if isinstance(one, type) and issubclass(one, ConfigSection)
    ]
    return [table for one in inner for table in (one, *rm_tables(one))]


COMMANDS = commands()
RMMINER = [(where, command) for where, command in COMMANDS if command.startswith("rmminer ")]
SERVED = ("http://", "rmminer serve ", "runs/mine --n", "--until-width")  # need a server, or are one: see their tests
DEAR = {"cycle", "tune", "mine", "patch", "evaluate", "overopt", "bench"}  # run with --dry-run, whatever the page says
FRESH = ("--out", "runs/fresh")  # where a campaign begins: runs/mine holds another
ANY_LM = ("--set", "checks.min_power=0", "--set", "checks.max_alarms=1")  # the small LM knows no text
STATUSES: dict[str, tuple[int | None, ...]] = {  # beside 0
    "doctor": (1,),  # a random RM has faults
    "bench": (100,),  # more findings win than --fail-over allows
}


def test_generated_parts_are_what_is_made_now() -> None:
    assert stale() == [], "run scripts/write_docs"


def test_every_generated_part_stands_somewhere_and_is_made_by_something() -> None:
    assert {name for page in PAGES for name in names_of_blocks(text_of(page))} == set(BLOCKS)


def test_what_was_edited_by_hand_is_seen_and_made_anew(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for page in PAGES:
        shutil.copy(page, tmp_path / page.relative_to(ROOT))
    text = text_of(README)
    (tmp_path / "README.md").write_text(text.replace("| `gcg` | gradient |", "| `gcg` | guess |"), encoding="utf-8")
    assert [page.name for page in stale(tmp_path)] == ["README.md"]
    assert [page.name for page in write(tmp_path)] == ["README.md"]
    assert text_of(tmp_path / "README.md") == text


def test_the_readme_names_every_attack_and_verb() -> None:
    text = text_of(README)
    command: Any = typer.main.get_command(app)
    for name in [*(attack.name for attack in BUILT_IN), *command.commands]:
        assert f"| `{name}" in text, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [found["target"] for found in LINK.finditer(prose(page)) if "://" not in found["target"]]
    assert targets, "every page leads to others"
    for target in targets:
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.is_file(), target
        assert not anchor or anchor in anchors(other), target


def test_files_that_are_named_exist() -> None:
    named = {name for page in PAGES for code in CODE.findall(prose(page)) for name in OURS.findall(code.split(":")[0])}
    assert len(named) > 50
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_setting_of_a_reward_model_is_explained() -> None:
    page = text_of(ROOT / "docs/reward-models.md")
    named = set(re.findall(r"`\[?rm\.(\w+)", page)) | set(re.findall(r"--set '?rm\.(\w+)", page))
    assert named == set(RewardModelSection.model_fields)


@pytest.mark.parametrize("table", rm_tables(), ids=lambda table: table.__name__)
def test_every_key_of_a_table_of_a_reward_model_is_explained_beside_it(table: type[ConfigSection]) -> None:
    assert set(table.model_fields) <= set(re.findall(r"``(\w+)``", table.__doc__ or ""))


def test_classes_and_functions_of_the_finding_are_where_the_page_says() -> None:
    module = import_module("miner.searching.confirmation")
    named = re.findall(r"`Confirmation\.(\w+)`", text_of(ROOT / "docs/architecture.md"))
    assert len(named) >= 3
    for name in named:
        assert hasattr(module.Confirmation, name), name


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.where)
def test_toml_is_valid(block: Block) -> None:
    raw = tomllib.loads(block.text)
    if "project" in raw:
        known = {ATTACK_ENTRY_POINTS, CHECK_ENTRY_POINTS, REWARD_MODELS, POLICIES, SECTION_ENTRY_POINTS}
        assert set(raw["project"]["entry-points"]) <= known
        return
    given = {"out": "runs/mine", "data": {"source": "preferences.jsonl"}, "rm": {"source": "path/to/rm"}, **raw}
    config = parse_config(given, where=block.where)
    for section in config.attacks:
        section.build()


def test_a_published_check_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = (block for block in blocks("python") if "Check)" in block.text)
    (tmp_path / "docs_check.py").write_text(example.text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    check = import_module("docs_check").Shouting.of(None)
    subjects = [Subject(response=text, prompt=()) for text in ("all is calm", "ALL IS LOUD", "12345")]
    assert np.array_equal(check.values(subjects), [0.0, 1.0, np.nan], equal_nan=True)
    clean = [Subject(response=f"The calm answer number {n}.", prompt=()) for n in range(40)]
    answers = [one.verdict for one in calibrate((check,), clean).certify(subjects)]
    assert answers == ["sensible", "nonsense", "abstain"]


def test_the_callback_listens_to_a_trl_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from miner.testing import ToyRewardModel

    (example,) = (block for block in blocks("python") if "GRPOTrainer" in block.text)
    monkeypatch.setitem(sys.modules, "trl", SimpleNamespace(GRPOTrainer=lambda **given: SimpleNamespace(**given)))

    def my_reward(prompts: list[str], completions: list[str], **_rest: Any) -> list[float]:
        return [float(len(text)) for text, _ in zip(completions, prompts, strict=True)]

    given = {"another_rm": ToyRewardModel(), "my_reward": my_reward, "my_policy": None, "my_prompts": None}
    exec(compile(example.text, example.where, "exec", dont_inherit=True), given)
    trainer: Any = given["trainer"]
    assert trainer.reward_funcs(prompts=["a?"], completions=["ba ke"]) == [5.0]
    assert trainer.callbacks == [given["watch"]]


def test_every_python_block_is_run_by_one_of_these_tests() -> None:
    run = ("(Attack)", "(Check)", "GRPOTrainer", "Campaign(config)")
    found = blocks("python")
    assert len(found) == len(run)
    for block in found:
        assert sum(mark in block.text for mark in run) == 1, block.where


@pytest.fixture(scope="module")
def workplace(
    tiny_rm_folder: Path, preference_file: Path, docs_world: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with everything that the pages call by name: small models, data, campaign files, a run of one round."""
    from miner.campaigns.campaign import Campaign
    from miner.language_models.training import LanguageModelRecipe, train_language_model
    from miner.reporting.summarise import summarise

    place = tmp_path_factory.mktemp("workplace")
    for name in ("rm", "other"):
        shutil.copytree(tiny_rm_folder, place / "path/to" / name)
    recipe = LanguageModelRecipe(
        vocabulary=320, hidden=16, layers=1, heads=2, steps=10, batch_rows=4, row_tokens=32, max_length=128
    )
    train_language_model(docs_world.policy_text()[:50], recipe, out=place / "path/to/lm", seed=0, progress=_silent)
    shutil.copytree(place / "path/to/lm", place / "path/to/tuned-lm")
    shutil.copy(preference_file, place / "preferences.jsonl")
    rows = [json.loads(line) for line in preference_file.read_text(encoding="utf-8").splitlines()]
    judged = [{"input": r["prompt"], "output_1": r["chosen"], "output_2": r["rejected"], "label": 1} for r in rows]
    (place / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in judged), encoding="utf-8")
    (whole,) = (block for block in blocks("toml") if "[rm]" in block.text and "[patch]" in block.text)
    (judge,) = (block for block in blocks("toml") if 'kind = "judge"' in block.text)
    (place / "campaign.toml").write_text(whole.text, encoding="utf-8")
    (place / "judge.toml").write_text(judge.text, encoding="utf-8")
    before = Path.cwd()
    os.chdir(place)
    try:
        campaign = Campaign(CampaignConfig.model_validate(SMALL))
        campaign.cycle()
        assert campaign.findings()
        summarise(campaign, command="test").write(campaign.folder)
    finally:
        os.chdir(before)
    shutil.copy(place / "campaign.toml", place / "runs/mine/tuned.toml")
    shutil.copytree(place / "runs/mine/corpus", place / "runs/all/corpus")
    return place


SMALL: dict[str, Any] = {
    "rm": {"source": "path/to/rm", "dtype": "float32"},
    "data": {"source": "preferences.jsonl", "fractions": [0.4, 0.3, 0.3]},
    "out": "runs/mine",
    "checks": {"names": ["repetition", "construction"], "false_alarm": 0.05},
    "attacks": [{"name": "corrupt", "params": {"variants": 4}}],
    "mine": {"prompts": 6, "budget_queries": 40},
    "evaluate": {"prompts": 8, "budget_queries": 40, "attacks": ["corrupt"]},
    "patch": {"steps": 2, "batch_pairs": 4},
}


def _silent(*_: int) -> None:
    pass


@pytest.mark.parametrize(("where", "command"), RMMINER, ids=[where for where, _ in RMMINER])
def test_commands_run(
    where: str,
    command: str,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Really, where that takes seconds; see ``DEAR`` and ``SERVED`` for the others."""
    from miner.cli import main

    arguments = shlex.split(command)[1:]
    if any(mark in command for mark in SERVED):
        assert parsed(arguments) is not None
        return
    if arguments[0] in DEAR and not {"--dry-run", "--no-suite"} & {*arguments}:
        arguments.append("--dry-run")
    if arguments[0] in ("cycle", "mine", "tune") and ("--rm" in arguments or ".toml" in command):
        arguments += FRESH
    if arguments[0] in DEAR and ("--reference-lm" in arguments or ".toml" in command):
        arguments += ANY_LM
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(sys, "argv", ["rmminer", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    assert end.value.code in (None, 0, *STATUSES.get(arguments[0], ())), f"{where}: {told.err}"
    assert told.out


def parsed(arguments: list[str]) -> Any:
    """What the real command line makes of ``arguments``, nothing run. Raises: what it raises of them."""
    command: Any = typer.main.get_command(app)
    return command.commands[arguments[0]].make_context(arguments[0], arguments[1:])


def test_an_option_that_does_not_exist_is_seen() -> None:
    with pytest.raises(Exception, match="--no-such"):
        parsed(["mine", "--rm", "http://127.0.0.1:8000", "--no-such"])


def test_the_example_in_python_mines(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = (block for block in blocks("python") if "Campaign(config)" in block.text)
    shutil.copytree(workplace / "path", tmp_path / "path")
    shutil.copy(workplace / "preferences.jsonl", tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(example.text, example.where, "exec", dont_inherit=True), {})
    assert "MiningReport(made=4" in capsys.readouterr().out


def test_the_other_commands_are_listed_with_the_script_that_runs_them() -> None:
    listed = text_of(ROOT / "docs/results.md").partition("## How the commands in these pages are run")[2]
    others = [(where, command) for where, command in COMMANDS if not command.startswith("rmminer ")]
    assert others
    for where, command in others:
        name = " ".join(command.split()[:2]) if command.startswith("pip") else command.split()[0]
        assert f"`{name}`" in listed, f"{where}: {command}"


def test_scripts_that_are_named_can_start() -> None:
    """They can be executed, and read by what executes them; where their imports lead, ``test_layering`` knows."""
    named = {name for page in PAGES for name in re.findall(r"scripts/\w+(?![\w./])", text_of(page))}
    for name in sorted(named - {"scripts/results"}):
        path = ROOT / name
        assert os.access(path, os.X_OK), name
        text = path.read_text(encoding="utf-8")
        if text.startswith("#!/usr/bin/env python3"):
            ast.parse(text)
        else:
            done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


def test_extras_that_are_named_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {extra for page in PAGES for extra in re.findall(r"rmminer\[(\w+)\]|extras? `(\w+)`", text_of(page))}
    flat = {one for pair in named for one in pair if one}
    assert flat
    assert flat <= set(project["optional-dependencies"])
