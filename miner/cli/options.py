"""Options that several verbs share, and how they override a campaign file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpus.working_copy import fetched, located

if TYPE_CHECKING:
    from miner.config.campaign import CampaignConfig

ConfigFile = Annotated[
    Path | None, typer.Argument(help="Campaign file (TOML). Left out: --rm and --data say it all.", show_default=False)
]
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
        help="RM whose reward is gold: folder, hub id, address or campaign file; several by commas: their mean; "
        "'people': their scores from review. Overlap with the references unless named.",
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


Rounds = Annotated[int | None, typer.Option(help="How many patches.", show_default=False)]
Adaptive = Annotated[
    bool | None,
    typer.Option(
        "--adaptive/--no-adaptive",
        help="Try patched RMs with attacks that know the RM before its patch, too. On unless told otherwise.",
        show_default=False,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        help="Which part of the work this process does first, i/n from 0/n. Several on one folder share it; "
        "in a SLURM or Kubernetes array the environment says i.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", help="Folder of the run, or its URL in an object store: s3://bucket/run.", show_default=False
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignOptions:
    """What the command line says of a campaign; what is None it does not mention.

    A verb takes those fields that ``Only`` names as options of its own.
    """

    config: ConfigFile = None
    out: Out = None
    rm: Rm = None
    data: Data = None
    policy: Policy = None
    reference_lm: ReferenceLm = None
    attacks: Attacks = None
    budget: Budget = None
    prompts: Prompts = None
    rounds: Rounds = None
    seed: Seed = None
    device: Device = None
    dtype: DType = None
    ascii_only: Ascii = False
    adaptive: Adaptive = None
    shard: ShardOption = None
    settings: Settings = None

    def with_settings(self, *settings: str) -> CampaignOptions:
        """With these settings behind those given, as ``--set`` spells them: the last one counts."""
        return replace(self, settings=[*(self.settings or []), *settings])


class Only:
    """Which fields of the dataclass that a verb takes are options of that verb, in this order."""

    def __init__(self, *names: str) -> None:
        self.names = names


def overrides_from_options(options: CampaignOptions, *stages: str) -> dict[str, Any]:
    """By dotted key of the campaign file; budget and prompts are those of the ``stages`` named.

    Raises:
        ConfigError: a setting that is none.
    """
    data, attacks = options.data, options.attacks
    overrides: dict[str, Any] = {
        "out": options.out,
        "seed": options.seed,
        "rm.source": options.rm,
        "rm.device": options.device,
        "rm.dtype": options.dtype,
        "rm.ascii_only": True if options.ascii_only else None,
        "data.world" if data == "docs" else "data.source": data,
        "policy.source": options.policy,
        "reference_lm.source": options.reference_lm,
        "attacks": [{"name": name} for name in attacks] if attacks else None,
        "rounds": options.rounds,
        "evaluate.adaptive": options.adaptive,
    }
    for stage in stages:
        overrides |= {f"{stage}.budget_queries": options.budget, f"{stage}.prompts": options.prompts}
    given = {key: value for key, value in overrides.items() if value is not None}
    return given | _parsed_settings(options.settings or [])


def config_from_options(options: CampaignOptions, *stages: str) -> CampaignConfig:
    """The campaign file named, where one is, with what else the command line says on top.

    Raises:
        ConfigError: see ``miner.config.campaign.read_config``.
    """
    from miner.config.campaign import load_config

    return load_config(options.config, overrides_from_options(options, *stages))


def resume_or_load_config(options: CampaignOptions, *stages: str) -> CampaignConfig:
    """As ``config_from_options``; without a campaign file the one stored in the run's folder, where there is one."""
    if options.config is None and options.out is not None:
        stored = fetched(located(options.out) / "campaign.toml")
        options = replace(options, config=stored if stored.exists() else None)
    return config_from_options(options, *stages)


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
