"""What is measured against one round's RM: its findings, shrunk and placed, and which findings of all rounds win."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from attacks import PolicyQuery, known_attacks
from corpus.records import Finding, Prompt, digest
from miner.campaigns.round_models import RoundModels
from miner.errors import CapabilityError, RmMinerError
from miner.measuring.clean_cloud import CleanCloud, Floats, percentiles
from miner.measuring.triage.attribution import with_top_words
from miner.measuring.triage.intervals import auroc
from miner.measuring.triage.result import FOLDER_NAME, RoundDistance
from miner.measuring.triage.settings import TriageSettings
from miner.measuring.triage.shrinking import Shrunk, shrink
from miner.measuring.triage.store import Row, Rows, chunks
from miner.measuring.triage.trials import Trials
from miner.rewards.base import Pair, RewardModel
from miner.searching import source
from miner.searching.confirmation import Confirmation
from miner.searching.shards import WHOLE, Shard
from miner.searching.version import package_version
from miner.worlds.world import spread

PUBLISHED_AT_ONCE = 64
N_ELSEWHERE = 32
MIN_CLEAN = 20
MAX_CLEAN = 1024  # references of a split, for a domain or to compare with
CODE = ("attribution.py", "ddmin.py", "pieces.py", "shrink.py", "shrinking.py", "trials.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRecord:
    """Whether a finding wins against an RM."""

    finding_id: str
    rm_fingerprint: str
    wins: bool


class NotPlacedError(RmMinerError):
    """Findings whose distance from clean text cannot be had; the message is the note to a triage without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainDistance:
    """A round's distances: the summary, and that of each finding by id."""

    result: RoundDistance
    by_finding: dict[str, float]


def shrunk_of_round(
    models: RoundModels, number: int, mine: Sequence[Finding], settings: TriageSettings, shard: Shard = WHOLE
) -> list[Shrunk]:
    """The round's findings shrunk; those stored are read, the others stored as they are done: of a ``shard`` its own
    first, then those that no other process has stored."""
    rm, criteria = models.rm(number), models.criteria(number)
    calibration = models.world.by_split["calibration"]
    elsewhere = spread(calibration, min(N_ELSEWHERE, len(calibration)), seed=models.config.seed)
    decided_by = [
        [rm.fingerprint, rm.pipeline_hash, criteria.quantile, criteria.data_hash, models.certifier.identity],
        [code_digest(), settings.max_queries, settings.attribution, [prompt.prompt_id for prompt in elsewhere]],
    ]
    key_of = {finding.finding_id: digest([finding.finding_id, decided_by]) for finding in mine}
    rows = Rows(models.run.path / FOLDER_NAME / "shrunk", Shrunk)
    stored = rows.read()
    left = [finding for finding in mine if key_of[finding.finding_id] not in stored]
    trials = Trials(
        confirmation=Confirmation(rm=rm, criteria=criteria, certifier=models.certifier),
        elsewhere=tuple(prompt.conversation for prompt in elsewhere),
        sampled_by=_sampled_by(models, left),
    )
    by_id = {finding.finding_id: finding for finding in left}
    with models.observer.stage(f"round {number}: shrinking") as advance:
        done = 0
        for part in _parts(shard, left, key_of, rows, PUBLISHED_AT_ONCE):
            found = []
            for one in shrink(part, trials, max_queries=settings.max_queries):
                found.append(one)
                advance(done + len(found), len(left))
            done += len(part)
            if settings.attribution:
                found = [with_top_words(rm, by_id[one.finding_id], one) for one in found]
            rows.publish({key_of[one.finding_id]: one for one in found})
    stored = rows.read()
    return [stored[key_of[finding.finding_id]] for finding in mine]


def _parts(
    shard: Shard, left: Sequence[Finding], key_of: Mapping[str, str], rows: Rows[Row], size: int
) -> Iterator[Sequence[Finding]]:
    """What is left to do, ``size`` at a time."""
    for wave in shard.waves(left, lambda finding: key_of[finding.finding_id], rows.read, size=size):
        yield from chunks(wave, size)


def wins_of_round(
    models: RoundModels, number: int, findings: Sequence[Finding], shard: Shard = WHOLE
) -> dict[str, bool]:
    """Whether each finding, whichever round's it is, wins against this round's RM by its own criteria. Shared as
    ``shrunk_of_round``."""
    rm, criteria = models.rm(number), models.criteria(number)
    decided_by = [rm.fingerprint, rm.pipeline_hash, criteria.quantile, criteria.data_hash]
    key_of = {finding.finding_id: digest(["wins", finding.finding_id, decided_by]) for finding in findings}
    rows = Rows(models.run.path / FOLDER_NAME / "wins", WinRecord)
    stored = rows.read()
    left = [finding for finding in findings if key_of[finding.finding_id] not in stored]
    with models.observer.stage(f"round {number}: which findings win") as advance:
        done = 0
        for part in _parts(shard, left, key_of, rows, 8 * PUBLISHED_AT_ONCE):
            won = zip(part, Confirmation(rm=rm, criteria=criteria).win_again(part), strict=True)
            fresh = {
                key_of[f.finding_id]: WinRecord(finding_id=f.finding_id, rm_fingerprint=rm.fingerprint, wins=wins)
                for f, wins in won
            }
            rows.publish(fresh)
            done += len(part)
            advance(done, len(left))
    stored = rows.read()
    return {finding.finding_id: stored[key_of[finding.finding_id]].wins for finding in findings}


def placed_in_domain(models: RoundModels, number: int, mine: Sequence[Finding]) -> DomainDistance:
    """The round's findings in its RM's domain.

    The domain is that of the calibration split's references. What findings are compared with are the held-out split's,
    which it has not seen: in a space of many dimensions the texts of the fit lie closer than others.

    Raises:
        NotPlacedError: too few references, or an RM that has no domain.
    """
    rm, by_split = models.rm(number), models.world.by_split
    fit, other = (_clean(rm, by_split[split], models.config.seed) for split in ("calibration", "held_out"))
    if min(len(fit), len(other)) < MIN_CLEAN:
        raise NotPlacedError(
            f"no distances in round {number}: {len(fit)} references to fit a domain to and {len(other)} others to "
            f"compare with; at least {MIN_CLEAN} of each are needed"
        )
    with models.observer.stage(f"round {number}: distances to clean text") as advance:
        try:
            domain = CleanCloud.of(rm.latents([_pair(prompt) for prompt in fit]))
            advance(1, 3)
            clean = domain.distances(rm.latents([_pair(prompt) for prompt in other]))
            advance(2, 3)
            found = domain.distances(rm.latents([Pair(f.prompt, f.response) for f in mine]))
            advance(3, 3)
        except (CapabilityError, ValueError) as error:
            raise NotPlacedError(f"no distances in round {number}: {error}") from error
    groups = [f.prompt_id for f in mine], [prompt.prompt_id for prompt in other]
    result = RoundDistance(
        round=number,
        n_fit=domain.n,
        shrinkage=domain.shrinkage,
        clean=_floats(clean),
        findings=_floats(found),
        percentiles=_floats(percentiles(found, clean)),
        auroc=auroc(found, clean, *groups),
    )
    return DomainDistance(result=result, by_finding={f.finding_id: float(d) for f, d in zip(mine, found, strict=True)})


@lru_cache(maxsize=1)
def code_digest() -> str:
    """The code that decides how a finding is shrunk."""
    here = Path(__file__).parent
    texts = [(here / name).read_text(encoding="utf-8") for name in CODE]
    return digest([package_version(), texts, source.code_digest("miner.searching.confirmation")])[:8]


def _sampled_by(models: RoundModels, findings: Sequence[Finding]) -> dict[str, str]:
    """The policy of findings whose attack samples one: its own LM is no evidence against them."""
    attacks = known_attacks()
    sampling = {name for name, one in attacks.items() if any(issubclass(need, PolicyQuery) for need in one.needs)}
    sampled = [finding.finding_id for finding in findings if finding.attack in sampling]
    policy = models.policy if sampled else None
    return dict.fromkeys(sampled, policy.fingerprint) if policy else {}


def _clean(rm: RewardModel, prompts: Sequence[Prompt], seed: int) -> list[Prompt]:
    known = [prompt for prompt in prompts if prompt.reference is not None]
    drawn = spread(known, min(MAX_CLEAN, len(known)), seed=seed)
    return [prompt for prompt in drawn if rm.takes(_pair(prompt))]


def _pair(prompt: Prompt) -> Pair:
    return Pair(prompt.conversation, str(prompt.reference))


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(np.round(values, 4).tolist())
