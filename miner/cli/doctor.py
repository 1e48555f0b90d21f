"""``rmminer doctor``: can this RM's scores be trusted?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from miner.cli import options as o
from miner.cli.output import out, plain, print_json
from miner.cli.tables import doctor_table
from miner.cli.watcher import running
from miner.errors import CapabilityError

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
    from miner.measuring.doctor.prompts import prompts_to_examine

    watcher, source = running(), "docs" if data is None else data
    asked = o.CampaignOptions(data=source, device=device, dtype=dtype, seed=seed, settings=settings)
    loaded = parse_config({"out": ".", "rm": rm_table_of(model)}, o.overrides_from_options(asked), where=model)
    if loaded.rm.kind == "remote":
        raise CapabilityError(
            f"{model} shows its scores alone, and the doctor examines weights and tokenizer. Run it where the RM is"
        )
    with watcher.stage("reading the prompts"):
        examined = prompts_to_examine(loaded, prompts, watcher)
    with watcher.stage(f"examining {Path(model).name}") as advance:
        report = examine(loaded.rm, examined.prompts, texts=examined.name, owned=data is not None, progress=advance)
    if json:
        print_json({**plain(report), "counts": report.counts})
    else:
        out().print(doctor_table(report))
    if report.is_red:
        raise typer.Exit(RED)
