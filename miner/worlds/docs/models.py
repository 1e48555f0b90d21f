"""Makes docs world ready: harvests the text, trains the three models, and keeps them for the next run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from attacks import PolicyQuery
from corpus.durable import publish_folder
from corpus.records import Split, digest
from miner.checkpoints.devices import resolve_device
from miner.checkpoints.identity import cache_folder
from miner.checkpoints.precision import choose
from miner.config.campaign import CampaignConfig, LanguageModelSection, PolicySection
from miner.judging.checks import Subject
from miner.language_models.ngram import train_ngram_model
from miner.language_models.training import LanguageModelRecipe, train_language_model, train_tokenizer
from miner.progress import Advance, Observer, Silent
from miner.worlds.docs.lexical import LexicalRewardModel, library_names, train_lexical
from miner.worlds.docs.reward_model import RewardModelRecipe, initialise, train_reward_model
from miner.worlds.docs.world import LIBRARIES, DocsWorld
from miner.worlds.world import CHECKED_SPLITS, World

DOCS = "docs"
LEXICAL = "lexical.safetensors"
LEXICAL_VERSION = 2
LM_SEED = 2  # beside the campaign's, which trains the RM
CODE_VERSION = 2  # raise it when training changes in a way that its recipe does not show


@dataclass(frozen=True, kw_only=True)
class NGramRecipe:
    """How docs world's reference LM counts."""

    vocabulary: int = 2048
    order: int = 4


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """How docs world's models are trained."""

    rm: RewardModelRecipe
    policy: LanguageModelRecipe
    reading_lm: LanguageModelRecipe
    reference_lm: NGramRecipe = NGramRecipe()


RESTATING = LanguageModelRecipe(vocabulary=1024, hidden=96, layers=2, steps=600)  # small: it is trained again and again
POLICY = LanguageModelRecipe(vocabulary=1024, hidden=128, layers=2, steps=400, batch_rows=16)
FULL = Recipes(rm=RewardModelRecipe(), policy=POLICY, reading_lm=LanguageModelRecipe(steps=1200))
QUICK = Recipes(
    rm=RewardModelRecipe(steps=64), policy=replace(POLICY, steps=100), reading_lm=LanguageModelRecipe(steps=150)
)


def prepare(config: CampaignConfig, *, observer: Observer) -> World:
    """Docs world with its RM, policy and reference LM (those the config does not bring), trained if not cached.

    Raises:
        ConfigError, ModelError: no docstrings (``-OO``); MiniLM is not installed, or is not the expected one.
    """
    cache = ModelCache(cache_folder() / "docsworld", observer)
    docs = cache.docs()
    recipes = recipes_of(config)

    rm = config.rm.source or _rm(cache, docs, config)
    policy = config.policy
    if policy is None and _samples(config):
        policy = _lm(cache, "policy", docs.policy_text(), recipes.policy, config)
    world = _world(docs, config, rm=rm, policy=policy, reference_lm=_reference_lm(config, cache, docs))
    return replace(world, seconds=cache.seconds)


def prepare_to_certify(config: CampaignConfig, *, observer: Observer) -> World:
    """Docs world with its reference LM, and the RM and policy that the config names, if any. Errors as ``prepare``."""
    cache = ModelCache(cache_folder() / "docsworld", observer)
    docs = cache.docs()
    reference_lm = _reference_lm(config, cache, docs)
    return _world(docs, config, rm=config.rm.source, policy=config.policy, reference_lm=reference_lm)


def outline(config: CampaignConfig, folder: Path) -> tuple[World, dict[str, float]]:
    """Docs world as far as it is there, for an estimate, and the FLOPs of training what the cache lacks, by name.

    An RM that is still to be trained is stood in for by an untrained one of its size, written to ``folder``; a policy
    is named by the place where it will be; docs world's own reference LM is left out. Errors as ``prepare``.
    """
    cache = ModelCache(cache_folder() / "docsworld", Silent())
    docs, recipes = cache.docs(), recipes_of(config)
    flops: dict[str, float] = {}
    rm = config.rm.source or str(cache.place("rm", _rm_key(docs, config)))
    if config.rm.source is None and not Path(rm).exists():
        flops["rm"] = recipes.rm.flops
        rm = str(initialise(folder / "rm", recipes.rm.layers, config.seed))
    policy, reference_lm = config.policy, config.reference_lm
    if policy is None and _samples(config):
        place = cache.place("policy", _lm_key(docs.policy_text(), recipes.policy, config))
        policy = PolicySection(source=str(place))
        if not place.exists():
            flops["policy"] = recipes.policy.flops
    own_lm = reference_lm is None or reference_lm.source == DOCS
    return _world(docs, config, rm=rm, policy=policy, reference_lm=None if own_lm else reference_lm), flops


def _world(
    docs: DocsWorld,
    config: CampaignConfig,
    *,
    rm: str | None,
    policy: PolicySection | None,
    reference_lm: LanguageModelSection | None,
) -> World:
    return World(
        name="docs",
        data_hash=docs.data_hash,
        prompts=tuple(p for split in _SPLITS for p in docs.prompts(split)),
        clean={split: clean_subjects(docs, split) for split in CHECKED_SPLITS},
        rm=config.rm.model_copy(update={"source": rm}),
        policy=policy,
        reference_lm=reference_lm,
        shares={role: asdict(share) for role, share in docs.shares.items()},
    )


def _samples(config: CampaignConfig) -> bool:
    """Whether an attack of the campaign asks a policy."""
    return any(issubclass(need, PolicyQuery) for attack in config.attacks for need in attack.build().needs)


def recipes_of(config: CampaignConfig) -> Recipes:
    return QUICK if config.data.quick else FULL


def _rm_key(docs: DocsWorld, config: CampaignConfig) -> list[object]:
    return [asdict(recipes_of(config).rm), docs.data_hash, config.seed, _trains_in(config, "auto")]


def reward_model(config: CampaignConfig, *, observer: Observer) -> str:
    """The folder of docs world's RM alone. Errors as ``prepare``."""
    cache = ModelCache(cache_folder() / "docsworld", observer)
    return _rm(cache, cache.docs(), config)


def policy(config: CampaignConfig, *, observer: Observer) -> PolicySection:
    """Docs world's policy alone. Errors as ``prepare``."""
    cache = ModelCache(cache_folder() / "docsworld", observer)
    texts = cache.docs().policy_text()
    return _lm(cache, "policy", texts, recipes_of(config).policy, config)


def _rm(cache: ModelCache, docs: DocsWorld, config: CampaignConfig) -> str:
    recipe = recipes_of(config).rm

    def train(out: Path, advance: Advance) -> None:
        train_reward_model(
            docs.prompts("train"), recipe, out=out, seed=config.seed, dtype=config.training_dtype, progress=advance
        )

    return str(cache.trained("rm", "training the reward model", _rm_key(docs, config), train))


def reference_lm(config: CampaignConfig, *, observer: Observer) -> LanguageModelSection:
    """Docs world's reference LM for another world's checks (``reference_lm.source = "docs"``)."""
    cache = ModelCache(cache_folder() / "docsworld", observer)
    return _reference_lm(config, cache, cache.docs())


def reading_lm(config: CampaignConfig, *, observer: Observer) -> LanguageModelSection:
    """A neural LM on the reference LM's text: for measurements that read hidden states, which counts do not have."""
    cache = ModelCache(cache_folder() / "docsworld", observer)
    texts = cache.docs().reference_lm_text()
    return _lm(cache, "reading LM", texts, recipes_of(config).reading_lm, config)


def _reference_lm(config: CampaignConfig, cache: ModelCache, docs: DocsWorld) -> LanguageModelSection:
    if config.reference_lm is not None and config.reference_lm.source != DOCS:
        return config.reference_lm
    recipe = recipes_of(config).reference_lm
    with cache.observer.stage("gathering English for the reference LM") as advance:
        texts = docs.reference_lm_text(advance)

    def train(out: Path, advance: Advance) -> None:
        train_ngram_model(texts, train_tokenizer(texts, recipe.vocabulary), order=recipe.order, out=out)
        advance(1, 1)

    key = [asdict(recipe), digest(list(texts))]
    return LanguageModelSection(source=str(cache.trained("reference LM", "counting words for the checks", key, train)))


def restating_policy(config: CampaignConfig, *, observer: Observer) -> PolicySection:
    """The policy that over-optimisation is studied on: half of its answers name the object first."""
    cache = ModelCache(cache_folder() / "docsworld", observer)
    recipe = replace(RESTATING, steps=QUICK.policy.steps) if config.data.quick else RESTATING
    return _lm(cache, "policy", cache.docs().restating_text(), recipe, config)


def second_rm(config: CampaignConfig, *, observer: Observer) -> LexicalRewardModel:
    """Docs world's independent RM, trained where the cache lacks it."""
    cache = ModelCache(cache_folder() / "docsworld", observer)
    docs = cache.docs()

    def train(out: Path, advance: Advance) -> None:
        out.mkdir(parents=True, exist_ok=True)
        train_lexical(library_names(LIBRARIES), docs.prompts("train"), out=out / LEXICAL, seed=config.seed)
        advance(1, 1)

    key = [LEXICAL_VERSION, docs.data_hash, config.seed]
    folder = cache.trained("lexical", "counting words for the second reward model", key, train)
    return LexicalRewardModel.load(folder / LEXICAL)


def _lm(
    cache: ModelCache, name: str, texts: tuple[str, ...], recipe: LanguageModelRecipe, config: CampaignConfig
) -> PolicySection:
    def train(out: Path, advance: Advance) -> None:
        train_language_model(
            texts, recipe, out=out, seed=config.seed + LM_SEED, dtype=config.training_dtype, progress=advance
        )

    key = _lm_key(texts, recipe, config)
    return PolicySection(source=str(cache.trained(name, f"training the {name}", key, train)))


def _lm_key(texts: tuple[str, ...], recipe: LanguageModelRecipe, config: CampaignConfig) -> list[object]:
    return [asdict(recipe), digest(list(texts)), config.seed, _trains_in(config, "cpu")]


def _trains_in(config: CampaignConfig, device: str) -> str:
    """What the products of a training on ``device`` are computed in: another dtype makes another model."""
    return choose("training", resolve_device(device), config.training_dtype).name


@dataclass
class ModelCache:
    """Trained models by recipe, kept in the user's cache; ``seconds`` is what making them took this time."""

    folder: Path
    observer: Observer
    seconds: dict[str, float] = field(default_factory=dict)

    def docs(self) -> DocsWorld:
        """What the interpreter's docstrings give, harvested on first use."""
        with self.timed("harvest"), self.observer.stage("harvesting docstrings"):
            return DocsWorld.load(self.folder)

    def trained(self, name: str, title: str, recipe: object, train: Callable[[Path, Advance], None]) -> Path:
        """The model of this recipe; ``train`` fills a folder that takes its place when it is whole."""
        target = self.place(name, recipe)
        if not target.exists():
            with self.timed(name), self.observer.stage(title) as advance:
                publish_folder(target, lambda partial: train(partial, advance))
        return target

    def place(self, name: str, recipe: object) -> Path:
        """Where the model of this recipe is, or will be."""
        bare = name.replace(" ", "-").lower()
        return self.folder / f"{bare}-{digest([CODE_VERSION, bare, recipe])[:12]}"

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


_SPLITS: tuple[Split, ...] = ("train", "calibration", "held_out")


def clean_subjects(docs: DocsWorld, split: Split) -> tuple[Subject, ...]:
    """Every sentence of a split, beside another sentence of its docstring where there is one."""
    found: dict[str, Subject] = {}
    for prompt, entry in zip(docs.prompts(split), docs.by_role[split], strict=True):
        texts = (entry.summary, *entry.sentences)
        for at, text in enumerate(texts):
            other = texts[1 if at == 0 else 0] if len(texts) > 1 else None
            found.setdefault(text, Subject(response=text, prompt=prompt.conversation, reference=other))
    return tuple(found.values())
