"""Makes attempts and stores them; those already stored are skipped, so that running again resumes."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from attacks import Attack
from corpus import Corpus
from corpus.records import Attempt, Prompt
from corpus.writer import Writer
from miner.config.campaign import AttackSection, CampaignConfig, StageSection
from miner.errors import ConfigError
from miner.progress import Observer
from miner.searching.attempts import Plan, Result, RoundContext, numbered_attempt
from miner.searching.driver import Driver
from miner.searching.shards import WHOLE, Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningReport:
    """Attempts of one stage: made now, stored before, and what came of all of them."""

    made: int
    skipped: int
    found: int
    errors: int

    @classmethod
    def total(cls, parts: Sequence[MiningReport]) -> MiningReport:
        return cls(
            made=sum(part.made for part in parts),
            skipped=sum(part.skipped for part in parts),
            found=sum(part.found for part in parts),
            errors=sum(part.errors for part in parts),
        )


def require_budgets(config: CampaignConfig) -> None:
    """Refuse attacks that do not exist, and budgets that end before an attack's first step does.

    Raises:
        ConfigError: it names the attack and the least that makes sense.
    """
    for title, stage in (("mine", config.mine), ("evaluate", config.evaluate)):
        for section in config.stage_attacks(stage):
            least, budget = section.build().min_budget, section.budget_queries or stage.budget_queries
            if budget < least:
                raise ConfigError(
                    f"{title}: {budget} queries are too few for one step of {section.name!r}, which takes {least}. "
                    f"Give at least that: --set {title}.budget_queries={max(1024, least)}"
                )
    for section in config.attacks:
        section.build()


def prompt_sets(attack: Attack, prompts: Sequence[Prompt]) -> list[tuple[Prompt, ...]]:
    """The prompts of each attempt: one each, or as many together as the attack takes; what is left over joins the last
    set."""
    size = attack.prompts_per_attempt
    n_sets = max(1, len(prompts) // size) if prompts else 0
    ends = [*range(size, n_sets * size, size), len(prompts)] if n_sets else []
    return [tuple(prompts[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def stage_plans(
    context: RoundContext, stage: StageSection, sections: Sequence[AttackSection], prompts: Sequence[Prompt]
) -> list[Plan]:
    """Every attack on every prompt, or set of prompts, with every seed. Attempts of one prompt and seed number share
    their seed."""

    def plans(section: AttackSection, number: int) -> list[Plan]:
        attack, budget = section.build(), section.budget_queries or stage.budget_queries
        return [
            numbered_attempt(context, attack, together, number=number, budget=budget)
            for together in prompt_sets(attack, prompts)
        ]

    columns = [plans(section, number) for number in range(stage.seeds) for section in sections]
    return [plan for row in zip_longest(*columns) for plan in row if plan is not None]  # prompt by prompt


def _published(corpus: Corpus, writer: Writer) -> Callable[[], Container[str]]:
    """The ids of all attempts stored by now, whoever made them: every segment is read once."""
    attempts, ids = corpus.follow(Attempt), set[str]()

    def published() -> Container[str]:
        writer.flush()
        ids.update(attempt.attempt_id for attempt in attempts.news())
        return ids

    return published


def run_plans(driver: Driver, plans: Sequence[Plan], corpus: Corpus, config: CampaignConfig, observer: Observer, *,
              title: str, known: Container[str] | None = None, shard: Shard = WHOLE) -> MiningReport:  # fmt: skip
    """Make the attempts that are not stored yet, each stored with its findings as it ends.

    ``known`` are the ids of those stored, where the caller has read them already. Of a ``shard`` its own come first,
    then those that no other process has stored; once this returns, all are.

    Raises:
        CapabilityError: an attack needs what this RM or campaign does not offer; nothing has run.
        CorpusWriteError: the store refused; what was acknowledged before is intact.
    """
    stored = corpus.attempt_ids() if known is None else known
    fresh = [plan for plan in plans if plan.attempt_id not in stored]
    made: list[Result] = []
    n_lost = len(driver.oracle.rm.lost_devices)
    with (
        observer.stage(title) as advance,
        corpus.writer(flush_rows=config.flush_rows, flush_seconds=config.flush_seconds) as writer,
    ):
        writer.add(*{prompt.prompt_id: prompt for plan in fresh for prompt in plan.prompts}.values())
        advance(len(plans) - len(fresh), len(plans))
        published = _published(corpus, writer)
        waves = shard.waves(fresh, lambda plan: plan.attempt_id, published, size=driver.in_flight)
        for result in (result for wave in waves for result in driver.run(wave)):
            writer.add(*result.scored, *result.findings, result.attempt)
            made.append(result)
            if result.attempt.outcome == "error" and not any(r.attempt.outcome == "error" for r in made[:-1]):
                observer.note(f"attack {result.attempt.attack!r} ended in an error: {result.attempt.error}")
            for finding in result.findings:
                observer.found(finding)
            for device in driver.oracle.rm.lost_devices[n_lost:]:
                observer.note(f"a device died, the others go on: {device}")
            n_lost = len(driver.oracle.rm.lost_devices)
            advance(len(plans) - len(fresh) + len(made), len(plans))
    return MiningReport(
        made=len(made),
        skipped=len(plans) - len(fresh),
        found=sum(bool(result.findings) for result in made),
        errors=sum(result.attempt.outcome == "error" for result in made),
    )
