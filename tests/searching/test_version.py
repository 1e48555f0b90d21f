"""Which edits of the code make an attack's stored attempts those of other code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import attacks
from attacks import Attack, GradientQuery, PolicyQuery, Query, Score, Search, known_attacks
from miner.errors import ConfigError
from miner.searching.oracle import ANSWERED
from miner.searching.source import code_digest
from miner.searching.version import ANSWERING, SEARCHING, code_version

ROOT = Path(__file__).resolve().parents[2]
PRINT = """
import json, sys
from attacks import known_attacks
from miner.searching.version import code_version
kinds = known_attacks()
if len(sys.argv) > 1:
    import importlib
    theirs = importlib.import_module(sys.argv[1]).Theirs
    kinds = {"theirs": theirs}
print(json.dumps({name: code_version(kind()) for name, kind in kinds.items()}))
assert not {"torch", "transformers"} & set(sys.modules)
"""
JUDGING = """
import sys
from miner.searching.version import judging_digest
print(judging_digest(tuple(sys.argv[1:])))
"""
Versions = dict[str, str]
Changed = Callable[..., set[str]]


def versions(tree: Path, *arguments: str) -> Versions:
    """Every attack's digest by the code in ``tree``, in a process of its own."""
    command, environment = [sys.executable, "-c", PRINT, *arguments], {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of our code, to be edited."""
    copy = tmp_path_factory.mktemp("tree")
    for package in ("attacks", "corpus", "miner"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def before(tree: Path) -> Versions:
    return versions(tree)


@pytest.fixture
def changed(tree: Path, before: Versions) -> Changed:
    """Whose versions an edit of files changes; the files are as they were afterwards."""

    def edit(*files: str, by: Callable[[str], str]) -> set[str]:
        old = {file: (tree / file).read_text(encoding="utf-8") for file in files}
        for file, text in old.items():
            assert by(text) != text
            (tree / file).write_text(by(text), encoding="utf-8")
        try:
            after = versions(tree)
        finally:
            for file, text in old.items():
                (tree / file).write_text(text, encoding="utf-8")
        return {name for name in before if before[name] != after[name]}

    return edit


def other_prose(text: str) -> str:
    """Other docstrings, comments and line breaks."""
    return text.replace('"""', '"""Otherwise said. ', 1).replace("\n\n\n", "\n# a remark\n\n") + "# the end\n"


def other_code(text: str) -> str:
    return text + "\nEDITED = 1\n"


def asking(*names: str) -> set[str]:
    return {name for name, kind in known_attacks().items() if {query.__name__ for query in kind.needs} & set(names)}


def test_prose_changes_no_version(changed: Changed, tree: Path) -> None:
    files = [str(path.relative_to(tree)) for path in tree.rglob("*.py") if '"""' in path.read_text(encoding="utf-8")]
    assert {"attacks/gcg.py", "miner/searching/driver.py", "miner/rewards/text/swaps.py"} < set(files)
    assert changed(*files, by=other_prose) == set()


def test_an_attack_s_code_changes_its_version_alone(changed: Changed) -> None:
    assert changed("attacks/evolve.py", by=other_code) == {"evolve"}


def test_code_that_attacks_share_changes_those_that_import_it(changed: Changed) -> None:
    assert changed("attacks/gcg.py", by=other_code) == {"gcg", "universal", "archive", "carried", "surrogate"}
    assert changed("attacks/mutate.py", by=other_code) == {"evolve", "transfer", "archive"}
    assert changed("attacks/queries.py", by=other_code) == set(known_attacks())


def test_how_edits_are_drawn_changes_those_that_ask_for_edits(changed: Changed) -> None:
    found = changed("miner/rewards/text/swaps.py", by=other_code)
    assert found >= asking("Swaps", "Relax") | {"random", "single_token", "transfer"}
    assert found.isdisjoint({"corrupt", "best_of_n", "rl", "evolve", "guided"})


def test_how_policies_answer_changes_those_that_ask_one(changed: Changed) -> None:
    policy = asking("Sample", "NextTokens", "Likelihoods")
    assert len(policy) > 3
    assert changed("miner/language_models/model.py", by=other_code) == policy


@pytest.mark.parametrize(
    "file", ["miner/searching/driver.py", "miner/searching/oracle.py", "miner/rewards/text/pipeline.py"]
)
def test_what_runs_every_search_changes_all(changed: Changed, file: str) -> None:
    assert changed(file, by=other_code) == set(known_attacks())


def test_code_that_decides_no_search_changes_none(changed: Changed) -> None:
    assert changed("miner/reporting/page.py", "corpus/scan.py", "miner/patching/patch.py", by=other_code) == set()


def test_an_attack_of_another_package_is_known_by_that_package_s_code_that_it_imports(tree: Path) -> None:
    package = tree / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text("from .search import Theirs\n")
    (package / "search.py").write_text(
        "from attacks import Attack, Score\nfrom theirs.words import WORDS\n\n\n"
        "class Theirs(Attack):\n    def search(self, seed):\n        yield Score(WORDS)\n"
    )
    (package / "words.py").write_text("WORDS = ('a',)\n")
    (package / "unused.py").write_text("WORDS = ('b',)\n")
    first = versions(tree, "theirs")["theirs"]
    (package / "unused.py").write_text("WORDS = ('c',)\n")
    assert versions(tree, "theirs")["theirs"] == first
    (package / "words.py").write_text("WORDS = ('b',)\n")
    assert versions(tree, "theirs")["theirs"] != first


def test_the_table_names_modules_that_exist_and_every_query() -> None:
    named = {*SEARCHING, *(module for modules in ANSWERING.values() for module in modules)}
    assert len({code_digest(module) for module in named}) == len(named)
    bases = {Query, GradientQuery, PolicyQuery}
    public = {one for one in vars(attacks).values() if isinstance(one, type) and issubclass(one, Query)} - bases
    assert public == set(ANSWERING) == {Score, *ANSWERED}


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("miner/judging/checks/order.py", True),
        ("miner/judging/checks/words.py", True),
        ("miner/judging/checks/verdict.py", True),
        ("miner/judging/forms.py", True),
        ("miner/language_models/ngram.py", True),
        ("miner/judging/checks/repetition.py", False),
        ("miner/judging/reviews.py", False),
        ("miner/searching/driver.py", False),
    ],
)
def test_the_code_of_checks_and_of_what_they_read_with_changes_the_verdicts_name(
    tree: Path, file: str, *, changes: bool
) -> None:
    def name() -> str:
        return subprocess.run(
            [sys.executable, "-c", JUDGING, "miner.judging.checks.order"],
            cwd=tree, env={"PYTHONPATH": str(tree)}, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    before, text = name(), (tree / file).read_text(encoding="utf-8")
    (tree / file).write_text(other_code(text), encoding="utf-8")
    try:
        assert (name() != before) == changes
    finally:
        (tree / file).write_text(text, encoding="utf-8")


NO_REWARD_DECIDED = {
    "miner.rewards.remote.http": "carries requests: what they ask and how answers are read stands elsewhere",
    "miner.rewards.remote.limits": "when a request may go out",
    "miner.rewards.remote.parallel": "when a request goes out",
    "miner.rewards.remote.opening": "hands on the [rm.remote] table, which is part of the RM's identity",
}


@pytest.mark.parametrize("wing", ["adapters", "text", "remote"])
def test_every_file_that_makes_rewards_of_texts_is_in_the_table(wing: str) -> None:
    files = (ROOT / "miner/rewards" / wing).glob("*.py")
    modules = {f"miner.rewards.{wing}.{file.stem}" for file in files if file.stem != "__init__"}
    named = {module for modules in ANSWERING.values() for module in modules}
    assert len(modules) > 3
    assert modules - named == {module for module in NO_REWARD_DECIDED if module in modules}


def test_an_attack_without_source_is_refused() -> None:
    class Nowhere(Attack):
        name, family = "nowhere", "test"

        def search(self, seed: int) -> Search:
            raise NotImplementedError

    Nowhere.__module__ = "typed_at_a_prompt"
    with pytest.raises(ConfigError, match=r"typed_at_a_prompt has no source.*Put it in a file"):
        code_version(Nowhere())
