"""A fingerprint is the model's, wherever its files lie; the pipeline around it has an identity of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from corpus.records import digest
from miner.checkpoints.identity import cache_folder, fingerprint
from miner.rewards import load_reward_model
from tests.rewards.models import PAIRS

FolderOf = Callable[[str], Path]


@pytest.fixture
def folder(folder_of: FolderOf, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder_of("llama"), tmp_path / "copy"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the files that were read to be hashed, from an empty cache on."""
    monkeypatch.setenv("RMMINER_CACHE", str(tmp_path / "digests"))
    names: list[str] = []
    opened = Path.open

    def watched(self: Path, *args: Any, **kwargs: Any) -> Any:
        if args[:1] == ("rb",):
            names.append(self.name)
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", watched)
    return names


def test_a_copy_has_the_same_fingerprint(folder: Path, folder_of: FolderOf) -> None:
    os.utime(folder / "model.safetensors", (1, 1))
    assert fingerprint(folder) == fingerprint(folder_of("llama"))


def change_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"][0, 0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_tokenizer(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["merges"] = content["model"]["merges"][:-1]
    (folder / "tokenizer.json").write_text(json.dumps(content))


def change_config(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "rms_norm_eps": 1e-3}))


def change_template(folder: Path) -> None:
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|", "<<"))


@pytest.mark.parametrize("change", [change_weights, change_tokenizer, change_config, change_template])
def test_a_change_of_what_decides_rewards_changes_the_fingerprint(change: Callable[[Path], None], folder: Path) -> None:
    before = fingerprint(folder)
    change(folder)
    assert fingerprint(folder) != before


def test_what_decides_no_reward_leaves_the_fingerprint(folder: Path) -> None:
    before = fingerprint(folder)
    (folder / "README.md").write_text("A model.")
    (folder / "trainer_state.json").write_text("{}")
    (folder / "training_args.bin").write_bytes(b"\x80")
    assert fingerprint(folder) == before


def test_the_template_is_part_of_the_pipeline_hash(folder: Path, rm_of: Callable[[str], Any]) -> None:
    change_template(folder)
    changed = load_reward_model(folder, device="cpu", dtype="float32")
    assert changed.pipeline_hash != rm_of("llama").pipeline_hash
    assert changed.reward(PAIRS[0]) != pytest.approx(rm_of("llama").reward(PAIRS[0]))


@pytest.mark.parametrize("option", [{"max_length": 100}, {"truncation": "left"}, {"truncation": "right"}])
def test_length_and_truncation_are_part_of_the_pipeline_hash(
    option: dict[str, Any], folder_of: FolderOf, rm_of: Callable[[str], Any]
) -> None:
    other = load_reward_model(folder_of("llama"), device="cpu", dtype="float32", **option)
    assert other.pipeline_hash != rm_of("llama").pipeline_hash
    assert other.fingerprint == rm_of("llama").fingerprint


def test_where_the_head_reads_is_part_of_the_pipeline_hash(folder: Path, rm_of: Callable[[str], Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": 1}))
    other = load_reward_model(folder, device="cpu", dtype="float32")
    assert other.pipeline_hash != rm_of("llama").pipeline_hash


def test_device_and_ranking_dtype_are_not_part_of_the_identity(
    folder_of: FolderOf, rm_of: Callable[[str], Any]
) -> None:
    other = load_reward_model(folder_of("llama"), device="cpu", dtype="bfloat16", batch_tokens=10)
    assert (other.fingerprint, other.pipeline_hash) == (rm_of("llama").fingerprint, rm_of("llama").pipeline_hash)


def test_files_are_read_once_until_they_change(folder: Path, hashed: list[str]) -> None:
    fingerprint(folder)
    assert "model.safetensors" in hashed
    hashed.clear()
    fingerprint(folder)
    assert hashed == []
    change_weights(folder)
    fingerprint(folder)
    assert hashed == ["model.safetensors"]


def test_the_hubs_own_digest_is_reused(tmp_path: Path, hashed: list[str]) -> None:
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_bytes(b"weights")
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blob)
    fingerprint(snapshot)
    assert hashed == []


def test_a_link_that_only_looks_like_the_hubs_is_read(tmp_path: Path, hashed: list[str]) -> None:
    elsewhere = tmp_path / ("ab" * 32)
    elsewhere.write_bytes(b"weights")
    (tmp_path / "model.safetensors").symlink_to(elsewhere)
    fingerprint(tmp_path)
    assert hashed == ["model.safetensors"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}'])
def test_a_torn_digest_cache_is_started_anew(content: str, folder: Path, hashed: list[str]) -> None:
    cache_folder().mkdir()
    (cache_folder() / "digests.json").write_text(content)
    first = fingerprint(folder)
    hashed.clear()
    assert fingerprint(folder) == first
    assert hashed == []


def test_a_cache_that_cannot_be_written_stops_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fingerprint(folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RMMINER_CACHE", str(tmp_path / "file" / "below"))
    assert fingerprint(folder) == expected


def test_the_fingerprint_is_of_the_sha256_of_whole_files(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block of what reads it
    (tmp_path / "model.safetensors").write_bytes(content)
    assert fingerprint(tmp_path) == digest([["model.safetensors", hashlib.sha256(content).hexdigest()]])
