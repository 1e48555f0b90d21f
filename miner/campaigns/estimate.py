"""What a run would cost, before it runs: attempts, queries, time and memory, from a short timing of the RM."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from miner.campaigns.judge import open_reference_lm
from miner.campaigns.planned import held_out_prompts
from miner.campaigns.usage import peak_memory_mb
from miner.checkpoints.devices import first_device, resolve_device
from miner.checkpoints.precision import choose, measured_gflops
from miner.config.campaign import CampaignConfig, StageSection
from miner.errors import ConfigError
from miner.files import require_writable
from miner.judging.checks import Materials, build_checks
from miner.progress import Observer, Silent
from miner.rewards.base import Pair
from miner.rewards.compute.refusals import readable
from miner.searching.mining import require_budgets
from miner.worlds.docs.models import DOCS, outline
from miner.worlds.opening import open_world
from miner.worlds.world import World

N_TIMED = 256
N_METERED = 8  # of an RM that may cost money
N_JUDGED = 4  # by checks that may ask a large LM
CLEAR = 1e9  # a threshold that no value is near
FP32_BYTES = 4
RUNTIME_MB = 700  # torch, transformers and pyarrow, loaded; where the platform does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEstimate:
    name: str
    attempts: int
    queries: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingEstimate:
    """What the checks take, in seconds a text: ``clear`` where the first look settles it, ``calibrating`` where they
    read on to the end, as they do on ``n_calibration`` clean texts once a run."""

    clear: float
    calibrating: float
    n_calibration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Upper bounds of attempts, queries and time: a search that finds something ends there.

    ``memory_mb`` is what loading the RM and scoring with it took here, and the copies that a patch's optimiser holds.
    ``judging`` is None without a reference LM, or while that is still to be made.
    """

    stages: tuple[StageEstimate, ...]
    queries_per_second: float
    n_timed: int
    device: str
    dtype: str
    training_dtype: str
    gflops: dict[str, float]
    memory_mb: float
    judging: JudgingEstimate | None


def estimate(config: CampaignConfig, stages: Sequence[str], observer: Observer | None = None) -> Estimate:
    """Bounds for these stages of a campaign. Loads the RM and scores clean texts; writes nothing to the run's folder.

    Raises:
        ConfigError, DataError, ModelError: whatever would stop the run itself.
    """
    from miner.rewards.opening import open_reward_model

    require_budgets(config)
    require_writable(Path(config.out))
    with tempfile.TemporaryDirectory() as folder:
        world, training = _outline(config, Path(folder), observer)
        _require_prompts(world, stages, config)
        rm = open_reward_model(
            world.rm, {p.conversation: p.reference for p in world.prompts if p.reference is not None}
        )
    n_timed = N_METERED if rm.is_billed else N_TIMED
    clean = (Pair(p.conversation, p.reference) for p in world.prompts if p.reference is not None)
    pairs = list(islice((pair for pair in clean if readable(rm, [pair]).pairs), n_timed))
    if not pairs:
        pairs = [Pair(p.conversation, "I do not know.") for p in world.prompts][:n_timed]
    if not pairs:
        raise ConfigError("the data holds no prompt; nothing to run")
    device = resolve_device(first_device(world.rm.device))
    rm.rewards(pairs)  # warm-up
    started = time.perf_counter()
    rm.rewards(pairs)
    seconds = time.perf_counter() - started
    per_second = len(pairs) / seconds
    flops_per_second = sum(rm.flops(rm.n_tokens(pair)) for pair in pairs) / seconds
    return Estimate(
        stages=(
            *(_training(name, flops / flops_per_second) for name, flops in training.items()),
            *(_stage(config, world, name, per_second) for name in stages),
        ),
        queries_per_second=per_second,
        n_timed=len(pairs),
        device=rm.device,
        dtype=rm.ranking_dtype,
        training_dtype=choose("training", device, config.training_dtype).name,
        gflops=measured_gflops(device),
        memory_mb=(peak_memory_mb() or RUNTIME_MB)
        + (4 * FP32_BYTES * rm.n_parameters / 2**20 if "patch" in stages else 0),
        judging=_judging(config, world),
    )


def _judging(config: CampaignConfig, world: World) -> JudgingEstimate | None:
    clean, lm = world.clean["calibration"], open_reference_lm(world)
    if lm is None or not clean:
        return None
    materials = Materials(clean_texts=tuple(one.response for one in clean), reference_lm=lm)
    checks, judged = build_checks(materials, config.checks.names), clean[:N_JUDGED]
    for check in checks:
        check.values_about(judged[:1], CLEAR, 0.0)  # warm-up
    started = time.perf_counter()
    for check in checks:
        check.values_about(judged, CLEAR, 0.0)
    clear = time.perf_counter()
    for check in checks:
        check.values(judged)
    ended = time.perf_counter()
    return JudgingEstimate(
        clear=(clear - started) / len(judged), calibrating=(ended - clear) / len(judged), n_calibration=len(clean)
    )


def _require_prompts(world: World, stages: Sequence[str], config: CampaignConfig) -> None:
    """What the run itself would refuse of the data."""
    if config.data.world is None and {"mine", "evaluate", "tune"} & set(stages):
        world.require_clean()
    if config.data.world is None and "evaluate" in stages:
        held_out_prompts(config, world)


def _outline(config: CampaignConfig, folder: Path, observer: Observer | None) -> tuple[World, dict[str, float]]:
    """The world, and the FLOPs of training those of its models that are not there yet."""
    if config.data.world == "docs":
        return outline(config, folder)
    if config.reference_lm is not None and config.reference_lm.source == DOCS:  # which may be still to be made
        config = config.model_copy(update={"reference_lm": None})
    return open_world(config, observer or Silent()), {}


def _training(name: str, seconds: float) -> StageEstimate:
    return StageEstimate(name=f"train {name}", attempts=0, queries=0, seconds=seconds)


def _stage(config: CampaignConfig, world: World, name: str, per_second: float) -> StageEstimate:
    if name == "patch":
        texts = 2 * config.patch.steps * config.patch.batch_pairs
        return StageEstimate(name=name, attempts=0, queries=0, seconds=6 * texts / per_second)  # fp32, forward and back
    if name == "tune":
        tune = config.tune
        attempts = tune.trials * tune.prompts + 2 * tune.held_out_prompts
        queries = attempts * tune.budget_queries
        return StageEstimate(name=name, attempts=attempts, queries=queries, seconds=queries / per_second)
    if name == "mine" and config.mine.schedule is not None:
        queries = config.mine.schedule.total_queries
        attempts = max(1, queries // config.mine.budget_queries)
        return StageEstimate(name=name, attempts=attempts, queries=queries, seconds=queries / per_second)
    stage: StageSection = config.mine if name == "mine" else config.evaluate
    sections = config.stage_attacks(stage) if name == "mine" else config.evaluated_attacks(1)
    n_prompts = len(world.sample("train" if name == "mine" else "held_out", stage.prompts, seed=config.seed))
    made = []
    for section in sections:
        size = section.build().prompts_per_attempt
        sets = n_prompts if size == 1 else max(1, n_prompts // size) if name == "mine" else 1
        made.append((sets * stage.seeds, section.budget_queries or stage.budget_queries))
    queries = sum(attempts * budget for attempts, budget in made)
    if name == "evaluate":
        queries += config.evaluate.reach * len(sections) * n_prompts
    return StageEstimate(
        name=name, attempts=sum(attempts for attempts, _ in made), queries=queries, seconds=queries / per_second
    )
