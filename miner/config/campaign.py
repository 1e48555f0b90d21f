"""The campaign file: everything a run depends on, read from TOML and checked before anything is loaded."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from attacks import Attack, known_attacks
from corpus.locations import location_of
from corpus.records import Form, Split, digest
from corpus.working_copy import located
from miner.config.kinds import POLICIES, read_by_kind
from miner.config.paths import HERE, absolute, portable
from miner.config.reward_model import ConfigSection, RewardModelSection, TrainingDType
from miner.errors import ConfigError

PLAIN, ADAPTIVE = "gcg", ("carried", "surrogate")  # an attack, and what it becomes for who knows the older RM
CONTROL = "random"


class LanguageModelSection(ConfigSection):
    """A causal LM: the policy, or the reference LM of the fluency checks ("docs": docs world's own)."""

    source: str
    revision: str | None = None
    trust_remote_code: bool = False
    max_new_tokens: int = Field(48, ge=1)


class PolicySection(LanguageModelSection):
    """The policy: a causal LM, or another ``kind`` that an installed package registers, with keys of its own."""

    kind: str = "causal"

    @model_validator(mode="wrap")
    @classmethod
    def _by_kind(cls, values: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """Read by the section of the kind, where that has one of its own."""
        if not isinstance(values, Mapping):
            return read(values)
        return read_by_kind(cls, values, read, POLICIES, values.get("kind", "causal"))


class ColumnsSection(ConfigSection):
    """Which column holds what: see ``miner.data.ColumnMapping``."""

    may_be_empty: ClassVar[tuple[str, ...]] = ("label_values", "tie_labels")

    prompt: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    responses: tuple[str, ...] = ()
    label: str | None = None
    label_values: tuple[bool | int | float | str, ...] = ()
    tie_labels: tuple[bool | int | float | str, ...] = ()
    scores: tuple[str, ...] = ()
    answers: str | None = None
    answer_text: str | None = None
    score: str | None = None
    rank: str | None = None
    completion: str | None = None
    system: str | None = None
    input: str | None = None
    history: str | None = None
    group: str | None = None


class DataSection(ConfigSection):
    """Preference data (``source``), or ``world = "docs"``; ``quick`` is docs world with models trained for less time.

    ``fractions`` are of groups, for train, calibration and held-out. More than ``max_left_out`` of the rows left out is
    an error. Rows with tool calls are left out, or shown the call ``as_text``; cells of JSON text are read, or kept.
    """

    may_be_empty: ClassVar[tuple[str, ...]] = ("split_salt",)

    source: str | None = None
    world: Literal["docs"] | None = None
    quick: bool = False
    columns: ColumnsSection | None = None
    hub_split: str = "train"
    limit: int | None = Field(None, ge=1)
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    split_salt: str = ""
    max_left_out: float = Field(0.05, ge=0, le=1)
    tool_calls: Literal["leave_out", "as_text"] = "leave_out"
    json_text: Literal["read", "keep"] = "read"

    @model_validator(mode="after")
    def _one_origin(self) -> DataSection:
        if (self.source is None) == (self.world is None):
            raise ValueError("give either source (preference data) or world = 'docs'")
        return self


class CriteriaSection(ConfigSection):
    """A response has to reach this quantile of the clean references' rewards."""

    quantile: float = Field(0.95, gt=0, lt=1)


MAX_ALARMS = 0.05


class ChecksSection(ConfigSection):
    """The tests for nonsense (empty: all that this campaign can feed), how many have to convict (left out: one), and
    the share of clean text that each may convict when its threshold is set (left out: 0.005; what the verdict then
    convicts of other clean text is measured and reported, and may be twice that). With a reference LM nothing is mined
    where they convict less than ``min_power`` of word salad made of the campaign's own clean text (no find could be
    certified), or more than ``max_alarms`` of good answers to train prompts (a find would prove nothing).

    ``reviewed`` is the folder of another run: what people called sensible there, on train prompts, sets thresholds
    beside clean text, and the precision that people see is told of held-out prompts alone."""

    names: tuple[str, ...] = ()
    quorum: int | None = Field(None, ge=1)
    false_alarm: float | None = Field(None, gt=0, lt=1)
    min_power: float = Field(0.8, ge=0, le=1)
    max_alarms: float = Field(MAX_ALARMS, ge=0, le=1)
    reviewed: str | None = None

    @property
    def unseen(self) -> Split | None:
        """The split on whose prompts no verdict set a threshold; None where none did anywhere."""
        return None if self.reviewed is None else "held_out"


class AttackSection(ConfigSection):
    """One attack: its name, its hyper-parameters, and a budget of its own where the stage's does not fit."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)
    budget_queries: int | None = Field(None, ge=1)

    def build(self) -> Attack:
        """The attack itself.

        Raises:
            ConfigError: no such attack, or no such hyper-parameter; the nearest is named.
        """
        kinds = known_attacks()
        if self.name not in kinds:
            raise ConfigError(f"no attack {self.name!r}{_nearest(self.name, list(kinds))}. Attacks: {', '.join(kinds)}")
        kind = kinds[self.name]
        fields = {field.name for field in dataclasses.fields(kind)}
        for name in self.params:
            if name not in fields:
                hint = _nearest(name, sorted(fields))
                raise ConfigError(
                    f"attack {self.name!r} has no parameter {name!r}{hint}. It has: {', '.join(sorted(fields))}"
                )
        try:
            return kind(**self.params)
        except ValueError as error:
            raise ConfigError(f"attack {self.name!r}: {error}") from error


class StageSection(ConfigSection):
    """``prompts`` of the split (0: all), attacked with ``seeds`` seeds each at ``budget_queries`` per attempt."""

    prompts: int = Field(48, ge=0)
    budget_queries: int = Field(1024, ge=1)
    seeds: int = Field(1, ge=1)
    attacks: tuple[str, ...] | None = None


class ScheduleSection(ConfigSection):
    """Spends ``total_queries`` in generations of so many attempts, instead of every attack on every prompt.

    "thompson" learns which attack finds most on which of ``groups`` of prompts (by their references' rewards), at full
    budget or at the ``probe`` share of it; "uniform", its control, takes all in turn.
    """

    total_queries: int = Field(ge=1)
    policy: Literal["thompson", "uniform"] = "thompson"
    generation: int = Field(24, ge=1)
    seed: int = 0
    groups: int = Field(3, ge=1)
    probe: float = Field(0.125, gt=0, le=1)


class MineSection(StageSection):
    """``schedule``: which attempts to make is decided as findings come in."""

    schedule: ScheduleSection | None = None


class EvaluateSection(StageSection):
    """``reach``: how many findings of each attack are scored on all the prompts, too (0: none).

    ``rejected_per_prompt``: over how many of its rejected answers each reference is compared for the clean accuracy.
    Pairs of one question say much the same, so that a few are nearly as exact as all, the default. ``adaptive``: where
    ``gcg`` is among the attacks, patched RMs are also tried by those that know the RM before its patch.
    """

    reach: int = Field(12, ge=0)
    rejected_per_prompt: int | None = Field(None, ge=1)
    adaptive: bool = True


class TuneSection(ConfigSection):
    """``trials`` of an attack, each on ``prompts`` of the train split; the winner on ``held_out_prompts``."""

    trials: int = Field(30, ge=1)
    prompts: int = Field(24, ge=4)
    budget_queries: int = Field(1024, ge=1)
    held_out_prompts: int = Field(24, ge=8)


class TunedSection(ConfigSection):
    """Written by ``rmminer tune``: which attack's hyper-parameters were tuned, and against which RM."""

    attack: str
    rm_fingerprint: str


class OveroptSection(ConfigSection):
    """A policy optimised against the RM: see ``miner.measuring.overopt.RlSettings``; one run per ``kl`` and seed.

    ``gold`` and ``second`` are "docs" (docs world's own), an RM (folder, hub id, address, campaign file), several
    joined by commas (their mean), or "none"; left out, docs world's own where the world is that, else none. ``target``
    is optimised instead of the RM alone: "mean", "min" and "variance" (mean − ``weight`` · variance) mix the RM with
    ``members`` (RMs as ``gold`` names them), "less" is RM − ``weight`` · the one member; left out, ``second`` is it.
    Every checkpoint is turned on ``mine`` train prompts as attack ``rl``, best of ``mine_samples``.
    """

    method: Literal["rl", "bon", "both"] = "both"
    steps: int = Field(150, ge=1)
    kl: tuple[float, ...] = (0.01,)
    seeds: int = Field(3, ge=1)
    prompts_per_step: int = Field(8, ge=1)
    samples_per_prompt: int = Field(4, ge=2)
    train_prompts: int = Field(512, ge=1)
    max_new_tokens: int = Field(32, ge=1)
    min_new_tokens: int = Field(0, ge=0)
    learning_rate: float = Field(3e-4, gt=0)
    optimiser: str = "adamw_torch"
    eval_every: int = Field(5, ge=1)
    eval_prompts: int = Field(64, ge=1)
    eval_samples: int = Field(1, ge=1)
    checkpoint_every: int = Field(50, ge=1)
    max_kl: float = Field(1000.0, gt=0)
    gold: str | None = None
    second: str | None = None
    target: Literal["rm", "less", "mean", "min", "variance"] = "rm"
    members: tuple[str, ...] = ()
    weight: float = Field(0.5, ge=0)
    pool: int = Field(1024, ge=2)
    pool_prompts: int = Field(16, ge=1)
    mine: int = Field(0, ge=0)
    mine_samples: int = Field(64, ge=1)


ROBUST = {"starts": "given", "floor": -2.0, "procedural_share": 0.125, "online_pairs": 4}
"""What ``patch.recipe = "robust"`` sets."""


class PatchSection(ConfigSection):
    """How the RM is retrained; ``held_out_*`` never enter training. ``findings_share`` is of all pairs;
    0 makes a sham patch, as many steps on clean pairs alone: what it changes, no finding has done. A patch ``starts``
    from the "previous" round's RM, or from the one "given" to the campaign, and holds clean scores where they were
    there; either way on the findings of all rounds.

    Parameters whose names begin as ``frozen`` says stay as they are. Of findings that people ``reviewed`` it trains on
    those "not_overruled", on the "confirmed" alone, or, with "ignore", on all.

    The ``recipe`` sets what follows, and ``starts``, where they are not given themselves: "findings" trains on those
    alone; "robust" starts from the RM as given and turns all of them on. Nonsense is pushed down to ``floor``, standard
    deviations above the mean of the clean references' rewards (below 0: under it), however far under its reference it
    lies already; ``procedural_share`` of all pairs have nonsense made by rule, new in every pair; ``online_pairs`` a
    step, beside all others, have texts of a pool of ``online_pool`` that gradient edits move uphill as training goes
    on. Where "structural" is a held-out family, nothing is made by rule; where "gradient" is, nothing is moved.
    """

    steps: int = Field(120, ge=1)
    batch_pairs: int = Field(16, ge=2)
    learning_rate: float = Field(5e-5, gt=0)
    findings_share: float = Field(0.25, ge=0, lt=1)
    anchor: float = Field(0.5, ge=0)
    centre: float = Field(0.01, ge=0)
    lora_rank: int = Field(0, ge=0)
    frozen: tuple[str, ...] = ()
    recipe: Literal["findings", "robust"] = "findings"
    starts: Literal["previous", "given"] = "previous"
    floor: float | None = None
    procedural_share: float = Field(0.0, ge=0, lt=1)
    online_pairs: int = Field(0, ge=0)
    online_pool: int = Field(32, ge=1)
    held_out_families: tuple[str, ...] = ()
    held_out_forms: tuple[Form, ...] = ()
    reviewed: Literal["not_overruled", "confirmed", "ignore"] = "not_overruled"

    @model_validator(mode="before")
    @classmethod
    def _as_the_recipe_says(cls, given: Any) -> Any:
        return {**ROBUST, **given} if isinstance(given, dict) and given.get("recipe") == "robust" else given

    @model_validator(mode="after")
    def _shares_leave_clean_pairs(self) -> PatchSection:
        if self.findings_share + self.procedural_share >= 1:
            raise ValueError("findings_share and procedural_share leave no clean pairs: together they are below 1")
        return self

    @model_validator(mode="after")
    def _one_way_to_train_less(self) -> PatchSection:
        if self.frozen and self.lora_rank:
            raise ValueError("frozen and lora_rank exclude each other: LoRA leaves every weight of the model as it is")
        return self


class CampaignConfig(ConfigSection):
    """A whole campaign. ``training_dtype`` is that of the products in RM and LM training and patches."""

    rm: SerializeAsAny[RewardModelSection] = RewardModelSection()
    data: DataSection
    out: str
    seed: int = 0
    rounds: int = Field(1, ge=0)
    training_dtype: TrainingDType = "auto"
    policy: SerializeAsAny[PolicySection] | None = None
    reference_lm: LanguageModelSection | None = None
    criteria: CriteriaSection = CriteriaSection()
    checks: ChecksSection = ChecksSection()
    attacks: tuple[AttackSection, ...] = (AttackSection(name="gcg"), AttackSection(name="random"))
    mine: MineSection = MineSection(prompts=96)
    evaluate: EvaluateSection = EvaluateSection()
    patch: PatchSection = PatchSection()
    tune: TuneSection = TuneSection()
    tuned: TunedSection | None = None
    overopt: OveroptSection = OveroptSection()
    in_flight: int = Field(24, ge=1)
    keep_queries: bool = False
    flush_rows: int = Field(64, ge=1)
    flush_seconds: float = Field(5.0, gt=0)

    @field_validator("out", mode="after")
    @classmethod
    def _on_this_machine(cls, out: str) -> str:
        """A URL's working copy, so that every path below it is one."""
        return str(located(out)) if location_of(out) else out

    @model_validator(mode="after")
    def _rm_given(self) -> CampaignConfig:
        if self.data.world is None and self.rm.source is None:
            raise ValueError("rm.source is missing: which reward model? (--rm FOLDER or a hub id)")
        return self

    @model_validator(mode="after")
    def _attacks_exist(self) -> CampaignConfig:
        names = [attack.name for attack in self.attacks]
        for name in (*(self.mine.attacks or ()), *(self.evaluate.attacks or ())):
            if name not in names:
                raise ValueError(f"attack {name!r} has no [[attacks]] entry{_nearest(name, names)}")
        return self

    def stage_attacks(self, stage: StageSection, round_number: int = 1) -> tuple[AttackSection, ...]:
        """The attacks of a stage, in the order of the file; against the RM as given, round 0, those that need no older
        one."""
        return tuple(
            attack
            for attack in self.attacks
            if (stage.attacks is None or attack.name in stage.attacks)
            and not (round_number == 0 and attack.build().adaptive)
        )

    def evaluated_attacks(self, round_number: int) -> tuple[AttackSection, ...]:
        """The attacks of an evaluation: the control is always among them and, against a patched RM, those that know it
        from before, with the hyper-parameters and budget of ``gcg``."""
        chosen = self.stage_attacks(self.evaluate, round_number)
        names = [attack.name for attack in chosen]
        control = () if CONTROL in names else (AttackSection(name=CONTROL),)
        plain = next((attack for attack in chosen if attack.name == PLAIN), None)
        if plain is None or round_number == 0 or not self.evaluate.adaptive:
            return (*chosen, *control)
        adaptive = (plain.model_copy(update={"name": name}) for name in ADAPTIVE if name not in names)
        return (*chosen, *adaptive, *control)

    def fixed_digest(self) -> str:
        """Identity of what may not change while a folder is in use."""
        fixed = self.model_dump(
            mode="json",
            include={"seed", "criteria", "checks", "patch", "reference_lm"},
            exclude={
                # min_power stops a run, and changes none; folders of before ``reviewed`` go on
                "checks": {"min_power", *(["reviewed"] if self.checks.reviewed is None else [])},
                "patch": {"reviewed"},  # people judge when a run is there already
            },
        )
        fixed["checks"]["max_alarms"] = MAX_ALARMS  # as min_power; folders of versions that counted it go on, too
        return digest({key: value for key, value in portable(fixed, Path(self.out)).items() if key != "out"})


def read_config(path: Path, overrides: Mapping[str, Any] | None = None) -> CampaignConfig:
    """The campaign in a TOML file; ``overrides`` are values by dotted key and win.

    Raises:
        ConfigError: no such file, not TOML, an unknown key (the nearest valid one is named) or a bad value.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the campaign file {path}: {error.strerror}{_folder_hint(path)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    of_run = raw.get("out") == HERE
    return parse_config(absolute(raw, path.absolute().parent) if of_run else raw, overrides, where=str(path))


def _folder_hint(path: Path) -> str:
    """What a folder may have been meant for, where a campaign file was expected."""
    if not path.is_dir():
        return ""
    if (path / "campaign.toml").exists():
        return f". It is a run's folder; its campaign file: {path / 'campaign.toml'}"
    return f". It is a folder; for the model in it: --rm {path} --data FILE"


def stored_form(config: CampaignConfig) -> dict[str, Any]:
    """``config`` as a run's own campaign file holds it: see ``miner.config.paths``."""
    return portable(config.model_dump(mode="json", exclude_none=True), Path(config.out))


def parse_config(raw: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, *, where: str) -> CampaignConfig:
    """``read_config`` of values already parsed; ``where`` names their origin in messages."""
    values = _copied(raw)
    for key, value in (overrides or {}).items():
        _set(values, key.split("."), value)
    try:
        return CampaignConfig.model_validate(absolute(values, Path.cwd()))
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error)}") from error


def load_config(path: Path | None, overrides: Mapping[str, Any]) -> CampaignConfig:
    """The campaign file with ``overrides`` on top; without one they say it all. Errors as ``read_config``."""
    if path is not None:
        return read_config(path, overrides)
    return parse_config({"out": "runs/campaign"}, overrides, where="command line")


def _explain(error: ValidationError) -> str:
    """The first problem, on one line."""
    problem = error.errors()[0]
    place = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        name = str(problem["loc"][-1])
        return f"unknown key {place!r}{_nearest(name, _keys_beside(problem['loc']))}"
    if problem["type"] == "missing":
        return f"{place!r} is missing"
    got = problem.get("input")
    shown = "" if isinstance(got, (dict, BaseModel)) else f"; got {got!r:.60}"
    return f"{place or 'campaign'}: {problem['msg'].removeprefix('Value error, ')}{shown}"


def _keys_beside(place: Sequence[str | int]) -> list[str]:
    """The valid keys of the table in which ``place`` lies."""
    section: type[BaseModel] = CampaignConfig
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        annotation = section.model_fields[part].annotation
        section = next(kind for kind in _sections_in(annotation))
    return list(section.model_fields)


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in _sections_in(part)]


def _nearest(name: str, valid: Sequence[str]) -> str:
    found = get_close_matches(name, valid, n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _copied(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in raw.items()}


def _set(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {'.'.join(path)}: {part!r} is not a table; set it whole, as a TOML value")
    values[path[-1]] = value
