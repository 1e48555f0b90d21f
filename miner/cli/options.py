"""Options that several verbs share, and how they override a campaign file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from miner.config.campaign import CampaignConfig

ConfigFile = Annotated[
    Path | None, typer.Argument(help="Campaign file (TOML). Left out: --rm and --data say it all.", show_default=False)
]
Out = Annotated[str | None, typer.Option(help="Folder of the run; the same folder again resumes.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Seed of every random choice.", show_default=False)]
Rm = Annotated[str | None, typer.Option(help="Reward model: folder, hub id, or http(s) address.", show_default=False)]
Data = Annotated[str | None, typer.Option(help="Preference data, or 'docs'.", show_default=False)]
Policy = Annotated[str | None, typer.Option(help="Policy for best_of_n: folder or hub id.", show_default=False)]
AtMost = Annotated[
    int | None,
    typer.Option(help="Checkpoints to measure, evenly spaced, first and last always.", min=2, show_default=False),
]
MaxNewTokens = Annotated[
    int | None, typer.Option(help="Longest response, in tokens. 48, or the run's.", min=1, show_default=False)
]
GoldRm = Annotated[
    str | None,
    typer.Option(
        help="RM whose reward is gold: folder, hub id, address or campaign file; several by commas: their mean. "
        "Overlap with the references unless named.",
        show_default=False,
    ),
]
ReferenceLm = Annotated[str | None, typer.Option(help="LM that judges fluency: folder or hub id.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps or auto.", show_default=False)]
DType = Annotated[str | None, typer.Option(help="Ranking dtype: auto, float32, bfloat16, float16.", show_default=False)]
Attacks = Annotated[
    list[str] | None, typer.Option("--attack", help="Attack by name; repeat for more.", show_default=False)
]
Budget = Annotated[int | None, typer.Option(help="Queries per attempt.", show_default=False)]
Prompts = Annotated[int | None, typer.Option(help="Prompts to attack (0: all).", show_default=False)]
Ascii = Annotated[bool, typer.Option("--ascii", help="Only ASCII tokens in edits.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any campaign key: --set patch.steps=80 (TOML values).", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON, alone on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run, with time and memory; run nothing.")]
Round = Annotated[int, typer.Option("--round", help="Which RM: 0 is the one given, n the one after n patches.")]


def load_config(path: Path | None, given: Mapping[str, Any]) -> CampaignConfig:
    """The campaign file with what was ``given`` on top (see ``given_values``); the file may be left out.

    Raises:
        ConfigError: see ``miner.config.campaign.read_config``.
    """
    from miner.config.campaign import parse_config, read_config

    if path is not None:
        return read_config(path, given)
    return parse_config({"out": "runs/campaign"}, given, where="command line")


def given_values(
    *,
    stage: str,
    out: str | None = None,
    seed: int | None = None,
    rm: str | None = None,
    data: str | None = None,
    policy: str | None = None,
    reference_lm: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    attacks: list[str] | None = None,
    budget: int | None = None,
    prompts: int | None = None,
    ascii_only: bool = False,
    settings: list[str] | None = None,
    rounds: int | None = None,
) -> dict[str, Any]:
    """What the command line says, by dotted key of the campaign file.

    Raises:
        ConfigError: a setting that is none, or an empty one.
    """
    from miner.errors import ConfigError

    overrides: dict[str, Any] = {
        "out": out,
        "seed": seed,
        "rm.source": rm,
        "rm.device": device,
        "rm.dtype": dtype,
        "rm.ascii_only": True if ascii_only else None,
        "data.world" if data == "docs" else "data.source": data,
        "policy.source": policy,
        "reference_lm.source": reference_lm,
        "attacks": [{"name": name} for name in attacks] if attacks else None,
        f"{stage}.budget_queries": budget,
        f"{stage}.prompts": prompts,
        "rounds": rounds,
    }
    if stage == "both":
        for name in ("budget_queries", "prompts"):
            value = overrides.pop(f"both.{name}")
            overrides |= {f"mine.{name}": value, f"evaluate.{name}": value}
    given = {key: value for key, value in overrides.items() if value is not None}
    for key, value in given.items():
        if isinstance(value, str) and not value.strip():
            raise ConfigError(f"{key} is empty on the command line. Give it a value, or leave it out")
    return given | _parsed_settings(settings or [])


def existing_or(path: Path | None, given: Mapping[str, Any]) -> CampaignConfig:
    """The campaign file given; without one, the config stored in the run's folder, where there is one."""
    stored = Path(str(given.get("out", ""))) / "campaign.toml"
    return load_config(stored if path is None and "out" in given and stored.exists() else path, given)


def _parsed_settings(settings: list[str]) -> dict[str, Any]:
    import tomllib

    from miner.errors import ConfigError

    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {setting!r}: expected KEY=VALUE, such as --set patch.steps=80")
        try:
            values[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            if value.strip()[:1] in ("[", "{", '"', "'"):
                raise ConfigError(
                    f"--set {key.strip()}: not TOML: {value.strip()}. Shells take quotes away; put the whole in quotes "
                    f"of the other kind: --set \"{key.strip()}=['a', 'b']\""
                ) from None
            values[key.strip()] = value.strip()  # a bare word is text
    return values
