"""A run's folder, which says by itself how far its campaign has come.

``campaign.toml`` is the resolved config, ``identity.json`` what the folder was made with, ``corpus/`` every attempt
and finding, ``rounds/<n>/`` what belongs to the RM after n patches (``model/`` from round 1 on), ``calibration/`` what
was measured or chosen once for all processes of the run, ``stages/`` what each of them starts a stage from.

It may be a store's copy on this machine (see ``corpus.working_copy``): what others publish is fetched when it is read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from corpus import Corpus
from corpus.publishing import publish_folder
from corpus.records import Prompt, Split, digest
from corpus.schema import TABLES
from corpus.working_copy import copy_of, fetched, fetched_all, fetched_folder, shown
from miner.campaigns.evaluation import CleanOutcomes
from miner.campaigns.reach import Reach, read_reaches, write_reaches
from miner.config.campaign import CampaignConfig, read_config, stored_form
from miner.errors import ConfigError, DataError, ResumeError
from miner.files import read_stored, replace_text
from miner.patching.report import PatchReport

CONFIG_NAME = "campaign.toml"
MODEL_NAME = "model"
PATCH_NAME = "patch.json"
STORED_NAME = "value.json"
MAX_PATCHERS = 64  # processes that patch one round at once

T = TypeVar("T")


@dataclass(frozen=True)
class RunFolder:
    """What lies where in the folder ``path``, and how it is read and written."""

    path: Path

    def __post_init__(self) -> None:
        fetched_all(self.path, without=TABLES)

    @property
    def shown(self) -> str:
        """What a person calls it: a store's by its URL."""
        return shown(self.path)

    @property
    def is_in_a_store(self) -> bool:
        return copy_of(self.path) is not None

    def require_writable(self) -> None:
        """Refuse a store that cannot be written to.

        Raises:
            CorpusWriteError: so it is.
        """
        if (copy := copy_of(self.path)) is not None:
            copy.require_writable()

    @cached_property
    def corpus(self) -> Corpus:
        """Every attempt and finding of the campaign."""
        return Corpus(self.path / "corpus")

    @cached_property
    def tuning(self) -> Corpus:
        """What was tried to choose an attack: no result of the campaign, and no finding of it is for the patch."""
        return Corpus(self.path / "tuning")

    def round(self, round_number: int) -> Path:
        return self.path / "rounds" / str(round_number)

    def model(self, round_number: int) -> Path:
        """Where the RM of a round is kept: from round 1 on always, of round 0 only docs world's."""
        return self.round(round_number) / MODEL_NAME

    def kept_model(self, round_number: int) -> Path:
        """``model``, with its files here where there are any."""
        return fetched_folder(self.model(round_number))

    def rounds_present(self) -> list[int]:
        """Round 0 and every round whose RM has been trained."""
        rounds = [0]
        while self.has_patch(rounds[-1] + 1):
            rounds.append(rounds[-1] + 1)
        return rounds

    def has_patch(self, round_number: int) -> bool:
        return fetched(self._patch_json(round_number)).exists()

    def patch_report(self, round_number: int) -> PatchReport:
        """What went into the patch that made the RM of this round."""
        return PatchReport.of(json.loads(self._patch_json(round_number).read_text(encoding="utf-8")))

    def publish_patch(self, round_number: int, make: Callable[[Path], PatchReport]) -> PatchReport:
        """The round's model and report as ``make`` leaves them in a folder; of several processes the first one's count.

        Each works in a folder of its own; what a killed one left in its is gone on from.
        """
        with self._own_work_folder(round_number) as work:
            if not self.has_patch(round_number):
                model = self.kept_model(round_number)
                if not (model / PATCH_NAME).exists():
                    report = _as_json(asdict(make(work)))
                    (work / PATCH_NAME).write_text(report, encoding="utf-8")
                    if model.exists() and not (model / PATCH_NAME).exists():
                        shutil.rmtree(model)  # begun by a version that trained in place
                    publish_folder(model, lambda out: _move_into(out, work))
                replace_text(self._patch_json(round_number), (model / PATCH_NAME).read_text(encoding="utf-8"))
        return self.patch_report(round_number)

    def _patch_json(self, round_number: int) -> Path:
        return self.round(round_number) / PATCH_NAME

    @contextmanager
    def _own_work_folder(self, round_number: int) -> Iterator[Path]:
        """A folder that no other living process works in: the system gives the lock of a killed one back."""
        from filelock import FileLock, Timeout

        training = self.round(round_number) / "training"
        for number in range(MAX_PATCHERS):
            (training / str(number)).mkdir(parents=True, exist_ok=True)
            lock = FileLock(training / str(number) / "lock", blocking=False)
            with suppress(Timeout):
                lock.acquire()
                break
        else:
            raise ConfigError(f"{MAX_PATCHERS} processes are patching in {training} already. Wait for one of them")
        try:
            yield training / str(number) / MODEL_NAME
        finally:
            lock.release()
        shutil.rmtree(training / str(number), ignore_errors=True)
        with suppress(OSError):
            training.rmdir()

    def clean_outcomes(self, round_number: int) -> CleanOutcomes | None:
        """The clean preferences of the round's RM; None where they were not taken."""
        path = fetched(self._clean_json(round_number))
        return CleanOutcomes.read(path) if path.exists() else None

    def store_clean_outcomes(self, round_number: int, outcomes: CleanOutcomes) -> None:
        replace_text(self._clean_json(round_number), _as_json(asdict(outcomes)))

    def _clean_json(self, round_number: int) -> Path:
        return self.round(round_number) / "clean.json"

    def reaches(self, round_number: int, prompts: Sequence[Prompt] | None = None) -> list[Reach]:
        """On which held-out prompts the round's findings win, as far as that was measured (on ``prompts``)."""
        return read_reaches(fetched(self.round(round_number) / "reach.json"), prompts)

    def store_reaches(self, round_number: int, found: Sequence[Reach], prompts: Sequence[Prompt]) -> None:
        write_reaches(self.round(round_number) / "reach.json", found, prompts)

    def once(self, name: str, made_from: object, kind: type[T], make: Callable[[], T]) -> T:
        """The dataclass ``kind`` that is stored for ``made_from``; else what ``make`` gives, which is then stored.

        Of several processes that make it at once, the first one's counts for all, and for those that resume.

        Raises:
            DataError: what is stored is damaged, or of another version.
        """
        return self._first(self._place_of(name, made_from), kind, name, make)

    def kept(self, name: str, made_from: object, kind: type[T]) -> T | None:
        """What ``once`` has stored; None where nothing. Errors as ``once``."""
        return _read_first(self._place_of(name, made_from), kind, name)

    def stage(self, name: str, kind: type[T], make: Callable[[], T]) -> T:
        """As ``once``: what all processes begin the stage ``name`` with."""
        return self._first(self.stage_place(name), kind, name, make)

    def kept_stage(self, name: str, kind: type[T]) -> T | None:
        """What ``stage`` has stored; None where nothing. Errors as ``once``."""
        return _read_first(self.stage_place(name), kind, name)

    def stage_place(self, name: str) -> Path:
        return self.path / "stages" / name

    def _first(self, folder: Path, kind: type[T], name: str, make: Callable[[], T]) -> T:
        stored = _read_first(folder, kind, name)
        if stored is not None:
            return stored
        text = TypeAdapter(kind).dump_json(make(), indent=1).decode()
        publish_folder(folder, lambda out: (out / STORED_NAME).write_text(text + "\n", encoding="utf-8"))
        stored = _read_first(folder, kind, name)
        if stored is None:
            raise DataError(f"{folder} holds no {STORED_NAME}. Delete it, and run again")
        return stored

    def _place_of(self, name: str, made_from: object) -> Path:
        return self.path / "calibration" / f"{name}-{digest(made_from)[:12]}"

    def keep_model(self, model: Path) -> None:
        """The built-in world's RM inside the run, so that the run can be moved without its user's cache."""
        if not self.kept_model(0).exists():
            publish_folder(self.model(0), lambda partial: shutil.copytree(model, partial, dirs_exist_ok=True))

    def claim(self, identity: Mapping[str, str], *, shared: bool = False) -> None:
        """Writes identity.json; refuses a folder with another campaign's results. Of processes that share it,
        ``shared``, the first one's counts before there is any.

        Raises:
            ResumeError: it holds results of a campaign made with something else, or another process was first.
        """
        self.require_own(identity)
        if shared:
            first = self.stage("campaign", dict[str, str], lambda: dict(identity))
            self._refuse_another(first, identity)
        if not (self._identity_json.exists() and self._has_results()):
            replace_text(self._identity_json, _as_json(identity))

    def require_own(self, identity: Mapping[str, str]) -> None:
        """Refuse a folder with results of another campaign than that of this identity. Errors as ``claim``."""
        if self._identity_json.exists() and self._has_results():
            self._refuse_another(json.loads(self._identity_json.read_text(encoding="utf-8")), identity)

    @property
    def _identity_json(self) -> Path:
        return self.path / "identity.json"

    def _has_results(self) -> bool:
        """Whether the folder holds anything that another RM, data or seed would contradict."""
        measured = any(self.path.glob("rounds/*/clean.json"))
        return self.corpus.exists() or measured or self.tuning.path.exists() or self.tuning.exists()

    def _refuse_another(self, stored: Mapping[str, Any], identity: Mapping[str, str]) -> None:
        what = {
            "rm_fingerprint": "RM",
            "pipeline_hash": "RM pipeline",
            "data_hash": "data",
            "config": "seed, criteria, checks or patch",
        }
        changed = [title for key, title in what.items() if stored.get(key) != identity[key]]
        if changed:
            raise ResumeError(
                f"{self.shown} holds a campaign made with another {' and another '.join(changed)}. "
                f"Resume it with what it was made with ({CONFIG_NAME} there), or give a new --out folder"
            )

    def write_config(self, config: CampaignConfig, name: str = CONFIG_NAME) -> Path:
        """A campaign file in this folder."""
        import tomli_w

        return replace_text(self.path / name, tomli_w.dumps(stored_form(config)))

    def holds(self, config: CampaignConfig) -> bool:
        """Whether campaign.toml holds this config already, whichever way it writes the path of the folder."""
        try:
            stored = self.read_config()
        except ConfigError:
            return False
        return stored == config.model_copy(update={"out": stored.out}) and self._named_in_file() == self.path.resolve()

    def _named_in_file(self) -> Path:
        return Path(read_config(self.path / CONFIG_NAME).out).resolve()

    @property
    def unseen(self) -> Split | None:
        """As the ``checks`` of the campaign that the folder holds; None where it holds none. Errors as
        ``read_config``."""
        return self.read_config().checks.unseen if (self.path / CONFIG_NAME).exists() else None

    def read_config(self) -> CampaignConfig:
        """The campaign that the folder holds, wherever it lies by now.

        Raises:
            ConfigError: it is no run's folder.
        """
        path = self.path / CONFIG_NAME
        if not path.exists():
            raise ConfigError(
                f"{self.shown} is not a run's folder: it has no {CONFIG_NAME}. "
                f"Make one: rmminer cycle --out {self.shown}"
            )
        return read_config(path, {"out": str(self.path)})


def _read_first(folder: Path, kind: type[T], name: str) -> T | None:
    return read_stored(fetched_folder(folder) / STORED_NAME, kind, f"the run's {name}")


def _move_into(folder: Path, source: Path) -> None:
    for path in source.iterdir():
        shutil.move(path, folder)


def _as_json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"
