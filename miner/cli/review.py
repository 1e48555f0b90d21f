"""``rmminer review``: people's verdicts on what a run found."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miner.cli import options as o
from miner.cli.output import err, out, print_json
from miner.cli.serve import LOOPBACK
from miner.cli.watcher import running

if TYPE_CHECKING:
    from miner.reviewing.room import ReviewRoom
    from miner.reviewing.server import ReviewServer
    from miner.rewards.base import RewardModel


def review(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a corpus.")],
    n: Annotated[int, typer.Option("--n", help="Items to judge, controls among them.", min=1)] = 200,
    until_width: Annotated[
        float | None,
        typer.Option(help="Go on until the precision's interval is so narrow, such as 0.05.", show_default=False),
    ] = None,
    controls: Annotated[
        float, typer.Option(help="Share of good answers and planted nonsense, half each.", min=0, max=0.8)
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of the sample and of everybody's order.", min=0)] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Show certificates before the verdict: not blind.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every machine that gets here.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0 takes any that is free.", min=0, max=65535)] = 8765,
    against: Annotated[
        Path | None, typer.Option(help="Another run, for the page that compares RMs.", show_default=False)
    ] = None,
    mode: Annotated[str, typer.Option(help="What --to and --from hold: verdicts, near_misses, gold.")] = ("verdicts"),
    to: Annotated[
        Path | None,
        typer.Option(help="Write the items for another tool: .csv, .jsonl (Argilla), .json (Label Studio)."),
    ] = None,
    from_: Annotated[Path | None, typer.Option("--from", help="Take another tool's verdicts in.")] = None,
    json: o.Json = False,
) -> None:
    """Judge findings in the browser, blind; look through a run.

    Verdicts are reviews in the corpus: findings that people overrule enter no patch and no headline figure.
    """
    from miner.errors import ConfigError

    try:
        from miner.reviewing.server import ReviewServer
    except ModuleNotFoundError as error:
        raise ConfigError(f"the review pages need {error.name}: pip install starlette uvicorn") from error
    from miner.reviewing.items import ReviewPlan
    from miner.reviewing.room import ReviewRoom

    if until_width is not None and not 0 < until_width < 1:
        raise ConfigError(f"--until-width {until_width:g}: expected a width above 0 and below 1, such as 0.05")
    watcher = running()
    with watcher.stage("reading the corpus"):
        plan = ReviewPlan(n=n, controls=controls, seed=seed, until_width=until_width)
        room = ReviewRoom(run, plan, blind=not open_, open_rm=partial(_open_rm, run), against=against)
    if to is not None or from_ is not None:
        _exchange(room, mode, to, from_, json=json)
        return
    room.require_items()
    server = ReviewServer(room, host=host, port=port)
    server.run(lambda: _announce(room, server, host, json=json))
    err().print("ended; what was answered is stored. The same command goes on from there", markup=False)


def _open_rm(run: Path, round_number: int) -> RewardModel:
    """The RM of a round, as the run's campaign file has it."""
    from miner.campaigns.opening import OpenCampaign
    from miner.campaigns.run_folder import RunFolder

    return OpenCampaign(RunFolder(run).read_config()).models.rm(round_number)


def _exchange(room: ReviewRoom, mode: str, to: Path | None, from_: Path | None, *, json: bool) -> None:
    """Items to another tool's file, its verdicts from one."""
    from miner.reviewing.exchange import read_verdicts, write_items

    done = {
        **({"written": write_items(room, mode, to), "to": str(to)} if to else {}),
        **({"taken": read_verdicts(room, mode, from_), "from": str(from_)} if from_ else {}),
    }
    if json:
        print_json(done)
    else:
        out().print(", ".join(f"{name} {value}" for name, value in done.items()), markup=False)


def _announce(room: ReviewRoom, server: ReviewServer, host: str, *, json: bool) -> None:
    """The address, and what it opens."""
    running().rest()
    if json:
        print_json({"url": server.url, "run": room.run, "findings": room.index.count()})
        return
    err().print(f"{room.index.count():,} findings. Open: {server.url}", markup=False)
    if host not in LOOPBACK:
        err().print(
            f"every machine that reaches {host} and has this link can read the run and judge; names and texts "
            "travel in the clear",
            markup=False,
        )
