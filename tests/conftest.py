"""What many tests need, made once per run: real preference data and a tiny reward model with random weights."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.vocabularies import train_wordpiece

settings.register_profile("shared-machine", deadline=None)  # a slow machine is no failure
settings.load_profile("shared-machine")


LONGEST = (  # files that take minutes; the rest fills what they leave, instead of waiting for the last of them
    "cli/test_cli.py",
    "cli/test_progress.py",
    "measuring/triage/test_run.py",
    "campaigns/test_campaign.py",
    "searching/test_mining.py",
    "rewards/remote/test_campaign.py",
    "measuring/overopt/test_no_coarse_dtypes.py",
    "corpus/test_drills.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: with ``--no-loadscope-reorder`` the workers take them first, too."""
    root = Path(__file__).parent
    rank = {root / name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMMINER_CACHE", str(cache))


@pytest.fixture(autouse=True)
def _gradients_stay_on() -> Iterator[None]:
    """A test that leaves autograd off would break every training after it, in another file perhaps."""
    yield
    torch: Any = sys.modules.get("torch")
    if torch is not None and not torch.is_grad_enabled():
        torch.set_grad_enabled(True)
        pytest.fail("autograd was left off: is something yielded inside torch.inference_mode?")


@pytest.fixture(scope="session")
def docs_world(cache: Path) -> Any:
    from miner.worlds.docs.world import DocsWorld

    return DocsWorld.load(cache / "docsworld")


@pytest.fixture(scope="session")
def preference_file(docs_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 prompts of docs world as TRL rows."""
    path = tmp_path_factory.mktemp("data") / "preferences.jsonl"
    prompts = [prompt for prompt in docs_world.prompts("train") if prompt.rejected][:300]
    rows = [{"prompt": p.conversation[0].content, "chosen": p.reference, "rejected": p.rejected[0]} for p in prompts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_rm_folder(docs_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT with random weights and a head scaled so that rewards spread."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    train_wordpiece(backend, docs_world.sentences("train"), special, size=800)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder = tmp_path_factory.mktemp("rm")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=128,
    )
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForSequenceClassification(
            BertConfig(  # type: ignore[call-arg]
                vocab_size=backend.get_vocab_size(),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=128,
                num_labels=1,
                initializer_range=0.3,
            )
        )
        model.classifier.weight.data *= 4
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what products are measured at, in GFLOP/s by dtype."""
    from miner.checkpoints import precision

    def measured(**rates: float) -> None:
        def gflops(_device: str, dtype: Any, _purpose: str = "ranking") -> float:
            return rates[precision.name_of(dtype)]

        monkeypatch.setattr(precision, "gflops", gflops)

    return measured


@pytest.fixture
def run_in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """The command line as a user calls it, in an empty folder: status, stdout, stderr."""
    from miner.cli import main

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["rmminer", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return call


@pytest.fixture
def run(run_in_process: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    return run_in_process


@pytest.fixture
def run_here(run_in_process: Callable[..., tuple[int, str, str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same as what a process of its own would have given."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        status, out, err = run_in_process(*arguments)
        return subprocess.CompletedProcess([*map(str, arguments)], status, out, err)

    return call
