"""``rmminer``: the verbs, and what a user is told when one cannot go on."""

from __future__ import annotations

import os
import sys

import typer

from corpus.errors import CorpusError
from miner.checkpoints.folders import first_line
from miner.cli import corpus_verbs, stages
from miner.cli.bench import bench
from miner.cli.data import data
from miner.cli.diversity import diversity
from miner.cli.doctor import doctor
from miner.cli.gap import gap
from miner.cli.output import say_error, spell_out_what_is_lacking
from miner.cli.overopt import overopt, overopt_people
from miner.cli.review import review
from miner.cli.rms import rms
from miner.cli.serve import serve
from miner.cli.triage import triage
from miner.cli.verb import Quiet, verb
from miner.errors import RmMinerError

INTERRUPTED = 130
OURS = ("attacks", "corpus", "miner")
SHOW_TRACEBACK = "RMMINER_TRACEBACK"

app = typer.Typer(
    name="rmminer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for one in (
    stages.demo,
    data,
    doctor,
    rms,
    stages.mine,
    stages.patch,
    stages.evaluate,
    stages.cycle,
    stages.tune,
    bench,
    overopt,
    overopt_people,
    diversity,
    gap,
    triage,
    stages.report,
    review,
    serve,
):
    app.command()(verb(one))
app.add_typer(corpus_verbs.app, name="corpus", help="Look into, share and look after a corpus.")


@app.callback()
def _before_any_verb(quiet: Quiet = False) -> None:
    """Finds out how a reward model can be fooled, and whether patching it helped."""
    del quiet  # the verb looks it up


def main() -> None:
    """Run a verb. Exit status: 0 done, 2 bad input (one line says what to do), 130 interrupted.

    What a library raises that nobody foresaw is one line, too; what our own code raises shows where it did.
    """
    spell_out_what_is_lacking()
    try:
        app(standalone_mode=True)
    except (RmMinerError, CorpusError) as error:
        say_error(str(error))
        sys.exit(error.exit_status)
    except OSError as error:
        say_error(
            f"{error.strerror or error}: {error.filename or 'the system gave no file name'}. What was stored is intact"
        )
        sys.exit(RmMinerError.exit_status)
    except Exception as error:
        library = _library_that_raised(error)
        if library is None or os.environ.get(SHOW_TRACEBACK):
            raise
        say_error(
            f"{library}: {type(error).__name__}: {first_line(error)} ({SHOW_TRACEBACK}=1 shows where). "
            "What was stored is intact"
        )
        sys.exit(RmMinerError.exit_status)
    except SystemExit as end:  # typer's own way out, Ctrl-C included
        if end.code == INTERRUPTED:
            say_error("interrupted; what was found is stored. Run the same command again to resume")
        raise


def _library_that_raised(error: BaseException) -> str | None:
    """The package in whose code an error was raised; None where that is ours."""
    found = error.__traceback__
    while found is not None and found.tb_next is not None:
        found = found.tb_next
    package = str(found.tb_frame.f_globals.get("__name__", "")).partition(".")[0] if found is not None else ""
    return None if package in OURS else package or "Python"
