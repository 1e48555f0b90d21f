"""``rmminer doctor``: can this RM's scores be trusted?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miner.cli import options as o
from miner.cli.output import out, plain, print_json
from miner.cli.tables import doctor_table
from miner.cli.watcher import running
from miner.errors import CapabilityError

if TYPE_CHECKING:
    from corpus.records import Prompt
    from miner.config.campaign import CampaignConfig

RED = 1
MAX_PROMPTS = 64


def doctor(
    model: Annotated[str, typer.Argument(help="Reward model: folder, hub id or campaign file.")],
    data: Annotated[str | None, typer.Option(help="Preference data; docstrings where there is none.")] = None,
    prompts: Annotated[int, typer.Option(help="Prompts to examine it on.", min=8)] = MAX_PROMPTS,
    device: o.Device = None,
    dtype: o.DType = None,
    seed: o.Seed = None,
    settings: o.Settings = None,
    json: o.Json = False,
) -> None:
    """Examine a reward model before mining: one table, and exit status 1 where something is red."""
    from miner.config.campaign import parse_config
    from miner.config.reward_model import rm_table_of
    from miner.measuring.doctor import examine

    watcher = running()
    given = o.given_values(stage="mine", data=data or "docs", device=device, dtype=dtype, seed=seed, settings=settings)
    loaded = parse_config({"out": "", "rm": rm_table_of(model)}, given, where=model)
    if loaded.rm.kind == "remote":
        raise CapabilityError(
            f"{model} shows its scores alone, and the doctor examines weights and tokenizer. Run it where the RM is"
        )
    with watcher.stage("reading the prompts"):
        chosen, texts = _prompts(loaded, prompts)
    with watcher.stage(f"examining {Path(model).name}") as advance:
        report = examine(loaded.rm, chosen, texts=texts, owned=data is not None, progress=advance)
    if json:
        print_json({**plain(report), "counts": report.counts})
    else:
        out().print(doctor_table(report))
    if report.is_red:
        raise typer.Exit(RED)


def _prompts(config: CampaignConfig, n: int) -> tuple[tuple[Prompt, ...], str]:
    """Prompts with references, spread over their groups, and a name for them."""
    from miner.checkpoints.identity import cache_folder
    from miner.worlds.docs.world import DocsWorld
    from miner.worlds.opening import read_prompts
    from miner.worlds.world import spread

    if config.data.world == "docs":
        pool, name = DocsWorld.load(cache_folder() / "docsworld").prompts("held_out"), "docstrings"
    else:
        pool, name = read_prompts(config, running()), Path(str(config.data.source)).name
    usable = [prompt for prompt in pool if prompt.reference]
    chosen = spread(usable, min(n, len(usable)), seed=config.seed)
    return chosen, f"{len(chosen)} prompts of {name}"
