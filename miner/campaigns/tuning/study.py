"""The Optuna study in a run's folder: a journal that survives kills, and trials that dead workers left behind."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from attacks import Range

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial

JOURNAL_NAME = "tuning.journal"
STARTUP_TRIALS = 8  # drawn at random before the sampler has anything to go by
P_GIVEN_UP = 0.1  # a trial this surely worse than the best is not finished
WORKER = "worker"


def open_study(folder: Path, name: str, defaults: Mapping[str, Any], seed: int) -> Study:
    """The study ``name`` in the journal of ``folder``, made with ``defaults`` as its first trial where it is new.

    A torn last line, which would stop every later reader, is cut off; trials of workers on this machine that are gone
    are failed and tried again.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = folder / JOURNAL_NAME
    heal(journal)
    known = journal.exists()
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal)))),
        study_name=name,
        load_if_exists=True,
        direction="minimize",
        pruner=_pruner(),
    )
    n_before = len(study.trials) if known else 0
    study.sampler = optuna.samplers.TPESampler(seed=seed + n_before, n_startup_trials=STARTUP_TRIALS)
    if n_before == 0:
        study.enqueue_trial(dict(defaults))
    _take_over(study)
    return study


def heal(journal: Path) -> None:
    """Cut off what follows the journal's last line break, under the journal's own lock.

    That is a file made exclusively: symbolic links, Optuna's default, are not to be had on every system.
    """
    from optuna.storages.journal import JournalFileOpenLock

    if not journal.exists():
        return
    lock = JournalFileOpenLock(str(journal))
    lock.acquire()
    try:
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(journal, whole)
    finally:
        lock.release()


def ask(study: Study, space: Mapping[str, Range]) -> tuple[Trial, dict[str, Any]]:
    """The next trial and its hyper-parameters, marked as this worker's."""
    trial = study.ask()
    trial.set_user_attr(WORKER, _worker())
    return trial, {name: _suggest(trial, name, span) for name, span in space.items()}


def finished(study: Study) -> list[FrozenTrial]:
    """Trials that have an answer: complete, or given up as worse than the best."""
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def _pruner() -> BasePruner:
    """Compares a trial with the best one prompt by prompt; experimental in Optuna since 3.6, and the paired one."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.pruners import WilcoxonPruner

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return WilcoxonPruner(p_threshold=P_GIVEN_UP)


def _suggest(trial: Trial, name: str, span: Range) -> int | float:
    if isinstance(span.low, int) and isinstance(span.high, int):
        return trial.suggest_int(name, span.low, span.high, log=span.log)
    return trial.suggest_float(name, span.low, span.high, log=span.log)


def _take_over(study: Study) -> None:
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if _is_gone(str(trial.user_attrs.get(WORKER, ""))):
            study.tell(trial.number, state=TrialState.FAIL)
            if params := trial.system_attrs.get("fixed_params") or trial.params:
                study.enqueue_trial(params)


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _is_gone(worker: str) -> bool:
    """A worker of this machine whose process has ended; of another machine nobody here can say."""
    host, _, process = worker.rpartition(":")
    if host != socket.gethostname() or not process.isdecimal():
        return False
    return int(process) == os.getpid() or not psutil.pid_exists(int(process))
