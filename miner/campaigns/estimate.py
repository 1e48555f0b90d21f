"""What a run would cost, before it runs: attempts, queries, time and memory, from a short timing of the RM.

It opens the campaign as the run does and asks what the run asks before its first attempt, so that it refuses what the
run would refuse; the run's folder is only read.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from miner.campaigns.certifier import ANSWERS, SALADS
from miner.campaigns.opening import CampaignView, require_startable
from miner.campaigns.planned import Attacked
from miner.campaigns.rehearsal import Rehearsal, Stages, attacked_in, measured_at_once, require_answers
from miner.campaigns.round_models import RoundModels
from miner.campaigns.usage import Usage, peak_memory_mb
from miner.checkpoints.devices import first_device, resolve_device
from miner.checkpoints.precision import choose, measured_gflops
from miner.config.campaign import CampaignConfig
from miner.errors import ConfigError
from miner.progress import Observer, Silent
from miner.rewards.base import Pair, RewardModel
from miner.rewards.compute.refusals import readable
from miner.searching.mining import prompt_sets
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

    @property
    def seconds(self) -> float:
        """Until it is known whether the certifier sees: see ``require_sight``."""
        return self.calibrating * self.n_calibration + self.clear * (SALADS + ANSWERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Upper bounds of attempts, queries and time: a search that finds something ends there.

    ``memory_mb`` is what loading the RM and scoring with it took here, and the copies that a patch's optimiser holds.
    ``judging`` is None without a reference LM, or while that is still to be made. ``unchecked`` says what the run may
    still be refused for, because it takes long to see.
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
    unchecked: tuple[str, ...]


def estimate(config: CampaignConfig, stages: Stages, observer: Observer | None = None) -> Estimate:
    """Bounds for these stages of a campaign. Loads the RM and scores clean texts; writes nothing to the run's folder.

    Raises:
        ConfigError, DataError, ModelError, CapabilityError, ResumeError: whatever would stop the run itself at once.
    """
    observer = observer or Silent()
    require_startable(config)
    with tempfile.TemporaryDirectory() as scratch:
        world, training = _outline(config, Path(scratch), observer)
        attacked = {name: attacked_in(config, world, name, stages, observer) for name in dict.fromkeys(stages.names)}
        campaign = CampaignView(
            config,
            observer,
            world=world,
            run=Rehearsal(Path(config.out), scratch=Path(scratch)),
            usage=Usage(Path(scratch)),
        )
        models, device = campaign.models, resolve_device(first_device(world.rm.device))
        attacked = require_answers(campaign, stages, attacked)
        rm = models.rm(stages.round)
        pairs = _timed_pairs(rm, world)
        rm.rewards(pairs)  # warm-up
        started = time.perf_counter()
        rm.rewards(pairs)
        seconds = time.perf_counter() - started
        per_second = len(pairs) / seconds
        flops_per_second = sum(rm.flops(rm.n_tokens(pair)) for pair in pairs) / seconds
        judged = any(attacked.values())
        judging = _judging(models) if judged else None
        judging_s = None if judging is None else judging.seconds
        unchecked = measured_at_once(models, stages.round, per_second, judging_s, training) if judged else ()
    return Estimate(
        stages=(
            *(_training(name, flops / flops_per_second) for name, flops in training.items()),
            *(_stage(config, name, attacked[name], per_second) for name in stages.names),
        ),
        queries_per_second=per_second,
        n_timed=len(pairs),
        device=rm.device,
        dtype=rm.ranking_dtype,
        training_dtype=choose("training", device, config.training_dtype).name,
        gflops=measured_gflops(device),
        memory_mb=(peak_memory_mb() or RUNTIME_MB)
        + (4 * FP32_BYTES * rm.n_parameters / 2**20 if "patch" in stages.names else 0),
        judging=judging,
        unchecked=unchecked,
    )


def _timed_pairs(rm: RewardModel, world: World) -> list[Pair]:
    """Texts to time the RM on: clean answers, or one answer to every prompt where it takes none of them."""
    n_timed = N_METERED if rm.is_billed else N_TIMED
    clean = (Pair(p.conversation, p.reference) for p in world.prompts if p.reference is not None)
    pairs = list(islice((pair for pair in clean if readable(rm, [pair]).pairs), n_timed))
    if not pairs:
        pairs = [Pair(p.conversation, "I do not know.") for p in world.prompts][:n_timed]
    if not pairs:
        raise ConfigError("the data holds no prompt; nothing to run")
    return pairs


def _judging(models: RoundModels) -> JudgingEstimate | None:
    clean = models.world.clean["calibration"]
    if models.world.reference_lm is None or not clean:
        return None
    checks, judged = models.checks, clean[:N_JUDGED]
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


def _outline(config: CampaignConfig, folder: Path, observer: Observer) -> tuple[World, dict[str, float]]:
    """The world, and the FLOPs of training those of its models that are not there yet."""
    if config.data.world == DOCS:
        return outline(config, folder)
    if config.reference_lm is not None and config.reference_lm.source == DOCS:  # which may be still to be made
        config = config.model_copy(update={"reference_lm": None})
    return open_world(config, observer), {}


def _training(name: str, seconds: float) -> StageEstimate:
    return StageEstimate(name=f"train {name}", attempts=0, queries=0, seconds=seconds)


def _stage(config: CampaignConfig, name: str, attacked: Sequence[Attacked], per_second: float) -> StageEstimate:
    if name == "patch":
        texts = 2 * config.patch.steps * config.patch.batch_pairs
        return StageEstimate(name=name, attempts=0, queries=0, seconds=6 * texts / per_second)  # fp32, forward and back
    attempts, queries = _work(config, name, attacked)
    return StageEstimate(name=name, attempts=attempts, queries=queries, seconds=queries / per_second)


def _work(config: CampaignConfig, name: str, attacked: Sequence[Attacked]) -> tuple[int, int]:
    """Attempts and queries at most."""
    if name == "tune":
        train, held_out = attacked
        attempts = config.tune.trials * len(train.prompts) + 2 * len(held_out.prompts)
        return attempts, attempts * config.tune.budget_queries
    if name == "mine" and config.mine.schedule is not None:
        queries = config.mine.schedule.total_queries
        return max(1, queries // config.mine.budget_queries), queries
    stage = config.mine if name == "mine" else config.evaluate
    made = [
        (
            len(prompt_sets(one.section.build(), one.prompts)) * stage.seeds,
            one.section.budget_queries or stage.budget_queries,
        )
        for one in attacked
    ]
    queries = sum(attempts * budget for attempts, budget in made)
    if name == "evaluate":
        alone = (len(one.prompts) for one in attacked if one.section.build().prompts_per_attempt == 1)
        queries += config.evaluate.reach * len(attacked) * max(alone, default=0)
    return sum(attempts for attempts, _ in made), queries
