"""A campaign: rounds of mine, patch and evaluate in one folder that says by itself how far they have come.

``campaign.toml`` is the resolved config, ``identity.json`` what the folder was made with, ``corpus/`` every attempt
and finding, ``rounds/<n>/`` what belongs to the RM after n patches (``model/`` from round 1 on). Each stage looks there
for what is done already, so running it again goes on where it stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attacks import Seeds, known_attacks
from corpus import Corpus
from corpus.durable import publish_folder
from corpus.records import Attempt, Finding, Prompt, Split, digest
from miner.campaigns.evaluation import CleanOutcomes, clean_outcomes, require_prompts
from miner.campaigns.judge import NO_REFERENCE_LM, build_judge
from miner.campaigns.reach import Reach, chosen_for_reach, reaches, read_reaches, write_reaches
from miner.campaigns.usage import Usage
from miner.checkpoints.devices import first_device
from miner.config.campaign import AttackSection, CampaignConfig, StageSection
from miner.errors import ConfigError, ResumeError
from miner.files import replace_text
from miner.judging.checks import Judge
from miner.judging.criteria import Criteria, clean_criteria
from miner.patching.patch import EXPORT, PatchReport, patch, trainable, training_findings
from miner.progress import Observer, Silent
from miner.rewards.base import RewardModel
from miner.searching.attempts import Plan, RoundContext
from miner.searching.driver import Driver
from miner.searching.mining import MiningReport, require_budgets, run_plans, stage_plans
from miner.searching.oracle import Oracle
from miner.searching.seeding import Seed, pool_digest, seed_pool
from miner.searching.version import code_version
from miner.worlds.opening import open_world

if TYPE_CHECKING:
    from miner.language_models import LanguageModel

MIN_HELD_OUT = 8


class Campaign:
    """Opens or resumes the campaign of ``config`` in its folder.

    More prompts, other attacks or budgets may join it later; what decides the meaning of its rows may not change.
    ``resumes_with`` is what its ``campaign.toml`` is to say instead of ``config``.

    Raises:
        ResumeError: the folder was made with another RM, pipeline, data, seed, criteria, checks or patch.
        ConfigError, DataError, ModelError: from what the config names.
    """

    def __init__(
        self, config: CampaignConfig, observer: Observer | None = None, *, resumes_with: CampaignConfig | None = None
    ) -> None:
        self.config, self._resumes_with = config, resumes_with or config
        self.observer = observer or Silent()
        self.world = open_world(config, self.observer)
        self.folder = Path(config.out)
        self.corpus = Corpus(self.folder / "corpus")
        self.usage = Usage(self.folder)
        self._rms: dict[int, RewardModel] = {}
        self._criteria: dict[int, Criteria] = {}
        self._open()
        self.usage.add(self.world.seconds)

    def mine(self, round_number: int) -> MiningReport:
        """Attack train prompts: the findings that a patch may see."""
        stage = self.config.mine
        prompts = self.world.sample("train", stage.prompts, seed=self.config.seed + round_number)
        if stage.schedule is not None:
            from miner.campaigns.scheduled_mining import mine_scheduled

            return mine_scheduled(self, stage.schedule, prompts, round_number)
        return self._attack(
            stage,
            [(section, prompts) for section in self.config.stage_attacks(stage)],
            round_number,
            seeded_from=round_number,
            title=f"round {round_number}: mining",
        )

    def evaluate(self, round_number: int, *, without: Collection[str] = ()) -> MiningReport:
        """Attack held-out prompts, the control always among the attacks; take the clean accuracy and the reach of what
        was found. Attacks named in ``without`` are left out."""
        stage = self.config.evaluate
        prompts = self.world.sample("held_out", stage.prompts, seed=self.config.seed)
        require_prompts(prompts, MIN_HELD_OUT)
        report = self._attack(
            stage,
            [(one, given) for one, given in self._evaluated(prompts) if one.name not in without],
            round_number,
            seeded_from=max(0, round_number - 1),
            title=f"round {round_number}: attacking held-out prompts",
        )
        self.clean_outcomes(round_number)
        self._take_reach(round_number, prompts)
        return report

    def _evaluated(self, prompts: Sequence[Prompt]) -> list[tuple[AttackSection, Sequence[Prompt]]]:
        """The attacks with their prompts. One for prompts together is given held-out prompts of its own, so that what
        it finds can be measured on the others."""
        found: list[tuple[AttackSection, Sequence[Prompt]]] = []
        pool = len(self.world.by_split["held_out"])
        for section in self.config.evaluated_attacks():
            size = section.build().prompts_per_attempt
            if size == 1:
                found.append((section, prompts))
            elif size <= pool - len(prompts):
                everyone = self.world.sample("held_out", len(prompts) + size, seed=self.config.seed)
                found.append((section, everyone[len(prompts) :]))
            else:
                self.observer.note(
                    f"attack {section.name!r} is left out of the evaluation: it needs {size} held-out prompts beside "
                    f"the {len(prompts)} it is measured on, and there are {pool}"
                )
        return found

    def attempts(self, section: AttackSection, prompts: Sequence[Prompt], *, budget_queries: int) -> list[Attempt]:
        """One attempt a prompt against the RM as given, in their order; those stored are read, the others made.

        They have a corpus of their own, ``tuning/``: what was tried to choose an attack is no result of the campaign,
        and no finding of it is for the patch.
        """
        stage, driver = StageSection(prompts=len(prompts), budget_queries=budget_queries), self.driver(0)
        if Seeds in section.build().needs:
            driver.oracle.seeds = self._seed_pool(0, prompts[0].split, newest=0, name="tuning")
        plans, store = self._plans(stage, [section], prompts, 0, driver), Corpus(self.folder / "tuning")
        with self.usage.timed("tune"):
            run_plans(driver, plans, store, self.config, _WithoutStages(self.observer), title="")
        stored = {attempt.attempt_id: attempt for attempt in store.attempts()}
        return [stored[plan.attempt_id] for plan in plans]

    def study_identity(self, section: AttackSection) -> list[str]:
        """What makes costs of an attack comparable: RM, code, criteria."""
        return [self.rm(0).fingerprint, code_version(section.build()), self.criteria_hash(self.driver(0))]

    def patch(self, round_number: int) -> PatchReport:
        """Train the RM of ``round_number`` + 1 on every train finding so far, unless it is there already."""
        target = self.round_folder(round_number + 1)
        if (target / "patch.json").exists():
            return self.patch_report(round_number + 1)
        findings = self.patch_findings()
        with self.usage.timed("patch"), self.observer.stage(f"round {round_number}: patching") as advance:
            report = patch(
                trainable(self.rm(round_number)),
                self.world.by_split["train"],
                findings,
                self.config.patch,
                out=target / "model",
                seed=self.config.seed + round_number,
                dtype=self.config.training_dtype,
                progress=advance,
            )
        _write_json(target / "patch.json", asdict(report))
        return report

    def patch_findings(self) -> list[Finding]:
        """What the next patch may train on: findings of this campaign's train prompts, held-out families and forms left
        out."""
        return training_findings(self.findings(), self.config.patch)

    def cycle(self) -> None:
        """Evaluate, then mine, patch and evaluate again, ``rounds`` times.

        Mining comes before the first evaluation where an attack starts from what was mined.
        """
        if any(Seeds in section.build().needs for section in self.config.evaluated_attacks()):
            self.mine(0)
        self.evaluate(0)
        for round_number in range(self.config.rounds):
            self.mine(round_number)
            if not self.rm(round_number).is_trainable:
                self.observer.note(f"{self.rm(round_number).name} cannot be retrained here. {EXPORT}")
                return
            if not self.patch_findings():
                self.observer.note(f"round {round_number}: no train finding that a patch may see; nothing to patch")
                return
            self.patch(round_number)
            self.evaluate(round_number + 1)

    def rm(self, round_number: int) -> RewardModel:
        """The RM after ``round_number`` patches."""
        if round_number not in self._rms:
            source = self.model_source(round_number)
            with self.observer.stage(f"round {round_number}: loading the reward model, hashing its weights"):
                self._rms = {round_number: self.open_rm(source)}  # one at a time: they can be large
        return self._rms[round_number]

    def open_rm(self, source: str) -> RewardModel:
        """The RM of this campaign's kind that lies in ``source``."""
        from miner.rewards.opening import open_reward_model

        references = {p.conversation: p.reference for p in self.world.prompts if p.reference is not None}
        return open_reward_model(self.world.rm, references, source=source)

    def model_source(self, round_number: int) -> str:
        if round_number == 0:
            kept = self.round_folder(0) / "model"
            return str(kept if kept.is_dir() else self.world.rm.source)
        folder = self.round_folder(round_number)
        if not (folder / "patch.json").exists():
            raise ConfigError(f"{self.folder} has no patched RM of round {round_number}. Patch first: rmminer patch")
        return str(folder / "model")

    def criteria(self, round_number: int) -> Criteria:
        """What winning means against the RM of ``round_number``: its own clean references set the bar."""
        if round_number not in self._criteria:
            rm, prompts = self.rm(round_number), self.world.by_split["calibration"]
            title = f"round {round_number}: rewards of clean answers"
            with self.usage.timed("criteria"), self.observer.stage(title) as advance:
                self._criteria[round_number] = clean_criteria(
                    rm, prompts, quantile=self.config.criteria.quantile, progress=advance
                )
        return self._criteria[round_number]

    @cached_property
    def judge(self) -> Judge:
        with self.usage.timed("calibrate"), self.observer.stage("calibrating the checks") as advance:
            judge, left_out = build_judge(self.config, self.world, progress=advance)
        for reason in left_out:
            self.observer.note(reason)
        if self.world.reference_lm is None:
            self.observer.note(NO_REFERENCE_LM)
        return judge

    @cached_property
    def policy(self) -> LanguageModel | None:
        section = self.world.policy
        if section is None:
            return None
        from miner.language_models import load_language_model

        with self.observer.stage("loading the policy"):
            return load_language_model(
                section.source,
                revision=section.revision,
                trust_remote_code=section.trust_remote_code,
                device=first_device(self.world.rm.device),
            )

    def driver(self, round_number: int) -> Driver:
        by_split = self.world.by_split
        splits: tuple[Split, ...] = ("train", "held_out")
        answers = {s: [(p.prompt_id, p.reference) for p in by_split[s] if p.reference is not None] for s in splits}
        oracle = Oracle(rm=self.rm(round_number), policy=self.policy, answers=answers)
        if self.world.policy:
            oracle.max_new_tokens = self.world.policy.max_new_tokens
        return Driver(
            oracle=oracle,
            criteria=self.criteria(round_number),
            judge=self.judge,
            in_flight=self.config.in_flight,
            keep_queries=self.config.keep_queries,
        )

    def clean_outcomes(self, round_number: int) -> CleanOutcomes | None:
        """Clean preferences of the RM of ``round_number`` on all held-out pairs, taken once."""
        path = self.round_folder(round_number) / "clean.json"
        if path.exists():
            return CleanOutcomes.read(path)
        rm = self.rm(round_number)
        with self.usage.timed("accuracy"), self.observer.stage(f"round {round_number}: clean accuracy") as advance:
            outcomes = clean_outcomes(rm, self.world.by_split["held_out"], advance)
        if outcomes is not None:
            _write_json(path, asdict(outcomes))
        return outcomes

    def patch_report(self, round_number: int) -> PatchReport:
        stored = json.loads((self.round_folder(round_number) / "patch.json").read_text(encoding="utf-8"))
        return PatchReport.of(stored)

    def rounds_present(self) -> list[int]:
        """Round 0 and every round whose RM has been trained."""
        rounds = [0]
        while (self.round_folder(rounds[-1] + 1) / "patch.json").exists():
            rounds.append(rounds[-1] + 1)
        return rounds

    def round_folder(self, round_number: int) -> Path:
        return self.folder / "rounds" / str(round_number)

    def attempts_of(self, round_number: int, split: Split) -> list[Attempt]:
        """Of each attack those made with the code and criteria of its newest: no two kinds are counted together."""
        mine = [
            attempt
            for attempt in self.corpus.attempts()
            if (attempt.campaign_id, attempt.round, attempt.split) == (self.campaign_id, round_number, split)
        ]
        newest = {attempt.attack: (attempt.code_version, attempt.criteria_hash) for attempt in mine}
        return [a for a in mine if (a.code_version, a.criteria_hash) == newest[a.attack]]

    def findings(self) -> list[Finding]:
        """This campaign's, of attempts that are stored: what a kill left behind of others does not count."""
        return [finding for finding in self.corpus.settled_findings() if finding.campaign_id == self.campaign_id]

    def _attack(
        self,
        stage: StageSection,
        attacked: Sequence[tuple[AttackSection, Sequence[Prompt]]],
        round_number: int,
        *,
        seeded_from: int,
        title: str,
    ) -> MiningReport:
        """Those that start from findings come last: the pool is what has been found by then, up to the round named."""
        driver = self.driver(round_number)
        reports = []
        for seeded in (False, True):
            part = [(one, prompts) for one, prompts in attacked if (Seeds in one.build().needs) == seeded]
            if not part:
                continue
            if seeded:
                driver.oracle.seeds = self._seed_pool(round_number, part[0][1][0].split, seeded_from)
            plans = [plan for one, prompts in part for plan in self._plans(stage, [one], prompts, round_number, driver)]
            with self.usage.timed(f"attack {round_number}"):
                reports.append(run_plans(driver, plans, self.corpus, self.config, self.observer, title=title))
        return MiningReport.total(reports)

    def _seed_pool(self, round_number: int, split: Split, newest: int, *, name: str | None = None) -> tuple[Seed, ...]:
        """Train findings up to round ``newest``, whichever split they are tried on.

        Those of this very round only from attacks that start from none: a search is not to feed on what the stage that
        it belongs to has made of older starts. Where the finds may be trained on, what the patch must not see is no
        start either.
        """
        fresh = {name for name, attack in known_attacks().items() if Seeds not in attack.needs}
        with self.observer.stage(f"round {round_number}: choosing texts to start from"):
            known = [
                f
                for f in self.findings()
                if f.split == "train" and f.round <= newest and (f.round < round_number or f.attack in fresh)
            ]
            if split == "train":
                known = training_findings(known, self.config.patch)
            pool = seed_pool(self.round_folder(round_number) / f"seeds-{name or split}.json", known)
        if not pool:
            self.observer.note("no findings on train prompts yet to start from: mine first")
        return pool

    def _take_reach(self, round_number: int, prompts: Sequence[Prompt]) -> None:
        made = {attempt.attempt_id for attempt in self.attempts_of(round_number, "held_out")}
        findings = [finding for finding in self.findings() if finding.attempt_id in made]
        chosen = chosen_for_reach(findings, self.config.evaluate.reach)
        path = self.round_folder(round_number) / "reach.json"
        known = {one.finding_id: one for one in read_reaches(path, prompts)}
        fresh = [finding for finding in chosen if finding.finding_id not in known]
        rm, criteria = self.rm(round_number), self.criteria(round_number)
        with self.usage.timed("reach"), self.observer.stage(f"round {round_number}: reach of the findings") as advance:
            found = [*known.values(), *reaches(rm, criteria, fresh, prompts, advance)]
        wanted = {finding.finding_id for finding in chosen}
        write_reaches(path, [one for one in found if one.finding_id in wanted], prompts)

    def reaches(self, round_number: int) -> list[Reach]:
        """On which held-out prompts the round's findings win, as far as that was measured."""
        return read_reaches(self.round_folder(round_number) / "reach.json")

    def _plans(
        self,
        stage: StageSection,
        sections: Sequence[AttackSection],
        prompts: Sequence[Prompt],
        round_number: int,
        driver: Driver,
    ) -> list[Plan]:
        return stage_plans(self.round_context(round_number, driver), stage, sections, prompts)

    def round_context(self, round_number: int, driver: Driver) -> RoundContext:
        """What the attempts that ``driver`` makes in this round have in common, as of now: its starts included."""
        return RoundContext(
            campaign_id=self.campaign_id,
            round=round_number,
            rm=driver.oracle.rm,
            criteria_hash=self.criteria_hash(driver),
            seed=self.config.seed,
        )

    def criteria_hash(self, driver: Driver) -> str:
        """Identity of all that decides an attempt's outcome beside its attack, RM and budget."""
        policy, section = driver.oracle.policy, self.world.rm
        pool = driver.oracle.seeds
        return digest(
            [
                [driver.criteria.quantile, driver.criteria.data_hash, driver.judge.identity],
                [policy.fingerprint, driver.oracle.max_new_tokens] if policy else None,
                [driver.oracle.rm.ranking_dtype, section.ascii_only],
                *([pool_digest(pool)] if pool else []),
            ]
        )

    def _open(self) -> None:
        require_budgets(self.config)  # before anything is loaded, as is a misspelt attack
        if self.config.data.world is not None and self.config.rm.source is None:
            _keep(Path(str(self.world.rm.source)), self.round_folder(0) / "model")
        rm = self.rm(0)
        tuned = self.config.tuned
        if tuned is not None and tuned.rm_fingerprint != rm.fingerprint:
            raise ConfigError(
                f"the hyper-parameters of {tuned.attack!r} were tuned against another RM "
                f"({tuned.rm_fingerprint[:12]}, this one is {rm.fingerprint[:12]}). "
                "Tune again: rmminer tune; or take the [tuned] table out to use them as they are"
            )
        identity = {
            "rm_fingerprint": rm.fingerprint,
            "pipeline_hash": rm.pipeline_hash,
            "data_hash": digest([self.world.data_hash, [prompt.split for prompt in self.world.prompts]]),
            "config": self.config.fixed_digest(),
        }
        self.campaign_id = digest(identity)
        path = self.folder / "identity.json"
        if path.exists() and self._has_results():
            _refuse_another(json.loads(path.read_text(encoding="utf-8")), identity, self.folder)
        else:
            _write_json(path, identity)
        self.write_config(self._resumes_with, "campaign.toml")

    def _has_results(self) -> bool:
        """Whether the folder holds anything that another RM, data or seed would contradict."""
        measured = any(self.folder.glob("rounds/*/clean.json"))
        return self.corpus.exists() or measured or (self.folder / "tuning").exists()

    def write_config(self, config: CampaignConfig, name: str) -> Path:
        """A campaign file in this campaign's folder."""
        import tomli_w

        return replace_text(self.folder / name, tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))


class _WithoutStages(Silent):
    """Passes findings and notes on, and keeps to itself where it is."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def found(self, finding: Finding) -> None:
        self._observer.found(finding)

    def note(self, text: str) -> None:
        self._observer.note(text)


def _refuse_another(stored: dict[str, Any], identity: dict[str, str], folder: Path) -> None:
    what = {
        "rm_fingerprint": "RM",
        "pipeline_hash": "RM pipeline",
        "data_hash": "data",
        "config": "seed, criteria, checks or patch",
    }
    changed = [title for key, title in what.items() if stored.get(key) != identity[key]]
    if changed:
        raise ResumeError(
            f"{folder} holds a campaign made with another {' and another '.join(changed)}. "
            "Resume it with what it was made with (campaign.toml there), or give a new --out folder"
        )


def _keep(model: Path, folder: Path) -> None:
    """The built-in world's RM inside the run, so that the run can be moved without its user's cache."""
    if not folder.exists():
        publish_folder(folder, lambda partial: shutil.copytree(model, partial, dirs_exist_ok=True))


def _write_json(path: Path, value: object) -> None:
    replace_text(path, json.dumps(value, indent=1) + "\n")
