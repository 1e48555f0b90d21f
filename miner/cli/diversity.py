"""``rmminer diversity``: what optimising against an RM does to creativity."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miner.cli import options as o
from miner.cli.output import out, print_json
from miner.cli.watcher import running
from miner.measuring.measurement_inputs import (
    checkpoint_config,
    checkpoint_sources,
    docs_policy,
    embedding_folder,
    gold_of,
    n_checkpoints,
    prompts_of,
    tokens_of,
)

if TYPE_CHECKING:
    from corpus.records import Prompt
    from miner.config.campaign import CampaignConfig
    from miner.measuring.diversity import Settings, Source
    from miner.progress import Observer

Texts = Annotated[
    list[Path] | None, typer.Option("--texts", help="JSONL of texts, with their prompts if any; repeat for more.")
]
Corpora = Annotated[list[Path] | None, typer.Option("--corpus", help="Run whose findings are measured; repeat.")]


def diversity(
    policies: Annotated[
        list[str] | None,
        typer.Argument(
            help="Policies, the first the one before (a run's reference): folders, hub ids or 'docs'.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        str,
        typer.Option(
            "--out",
            help="Folder of the results; samples there are used again. A campaign's report shows its RUN/diversity.",
        ),
    ] = "runs/diversity",
    data: Annotated[
        str | None,
        typer.Option(help="Preference data whose held-out prompts are asked, or 'docs'. Left out: the run's, or docs."),
    ] = None,
    texts: Texts = None,
    corpus: Corpora = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="A run's folder of overopt, or JSONL: label, policy or texts, sqrt_kl and gold where known.",
            show_default=False,
        ),
    ] = None,
    at_most: o.AtMost = None,
    embedding: Annotated[
        str | None, typer.Option(help="Sentence embedding: folder or hub id. MiniLM unless named.", show_default=False)
    ] = None,
    persona: Annotated[
        str | None,
        typer.Option(help="Persona prompts: JSONL, or 'builtin'. Policies are asked them, too.", show_default=False),
    ] = None,
    gold_rm: o.GoldRm = None,
    reference_lm: o.ReferenceLm = None,
    prompts: Annotated[int, typer.Option(help="Prompts to ask.", min=1)] = 64,
    samples: Annotated[int, typer.Option(help="Samples of each prompt.", min=1)] = 16,
    max_new_tokens: o.MaxNewTokens = None,
    temperature: Annotated[float, typer.Option(help="Of the samples; entropies are at 1.")] = 1.0,
    mode_distance: Annotated[float, typer.Option(help="Cosine distance at which modes are cut.", min=0, max=2)] = 0.6,
    off_mode_tokens: Annotated[int, typer.Option(help="Words forced in the attractor test; 0: none.", min=0)] = 5,
    seed: o.Seed = None,
    device: o.Device = None,
    settings: o.Settings = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Measure how varied policies or texts are, the first against each other: words, meaning, entropy, attractors."""
    from miner.measuring.diversity import Settings, load_embedding, measure_diversity
    from miner.measuring.diversity.checkpoints import evenly
    from miner.measuring.diversity.persona import BUILT_IN, built_in_prompts, read_persona

    watcher = running()
    wanted, run = list(policies or []), checkpoints if checkpoints is not None and checkpoints.is_dir() else None
    start = wanted.pop(0) if run is not None and wanted else None
    no_rm = None if data in (None, "docs") else "none"  # a campaign needs one; here none takes part
    loaded = checkpoint_config(
        checkpoints,
        o.overrides_from_options(o.CampaignOptions(
            rm=no_rm, data=data, policy=start, reference_lm=reference_lm, seed=seed, device=device, settings=settings,
        )),
    )  # fmt: skip
    chosen = Settings(
        samples=samples,
        max_new_tokens=tokens_of(checkpoints, max_new_tokens),
        temperature=temperature,
        mode_distance=mode_distance,
        off_mode_tokens=off_mode_tokens,
        seed=loaded.seed,
        device=loaded.rm.device,
    )
    chosen.plan()  # refuse what cannot be sampled before anything is loaded
    place, encoder = Path(folder), embedding_folder(embedding)
    people = built_in_prompts() if persona == BUILT_IN else read_persona(Path(persona)) if persona else None
    sources = _texts(texts or [], corpus or [], chosen)
    if not wanted and not sources and checkpoints is None and loaded.data.world == "docs":
        wanted = ["docs"]
    named = 0 if checkpoints is None else n_checkpoints(checkpoints)
    n_policies = len(wanted) + min(named, at_most or named)
    asked = prompts_of(loaded, prompts, observer=watcher) if n_policies else ()
    if dry_run:
        return _dry_run(n_policies, asked, chosen, json=json)
    before = _policies(wanted, loaded, watcher)
    along = [] if checkpoints is None else checkpoint_sources(
        checkpoints, loaded, watcher, samples=chosen.samples, seed=chosen.seed
    )  # fmt: skip
    along = evenly(along, at_most)
    sources = [*along, *before, *sources] if run is not None else [*before, *sources, *along]
    with watcher.stage("loading the sentence embedding"):
        encoding = load_embedding(encoder.folder, device=chosen.device, name=encoder.name)
    report = measure_diversity(
        _labelled(sources),
        asked,
        embedding=encoding,
        settings=chosen,
        gold=gold_of(gold_rm, asked, loaded, watcher),
        persona=people,
        folder=place,
        observer=watcher,
        command=shlex.join(["rmminer", *sys.argv[1:]]),
    )
    report.write(place)
    from miner.cli.measured import diversity_table, say_where_shown
    from miner.reporting.measurements import write_measurement
    from miner.reporting.sections import DIVERSITY

    title = "Diversity of " + " and ".join(s.label for s in report.sides[:4])
    with watcher.stage("writing the report"):
        page = write_measurement(place, DIVERSITY, title, report)
    if json:
        print_json(report)
    else:
        out().print(diversity_table(report))
        out().print(f"report: {page}", markup=False)
        say_where_shown(page)
    return None


def _texts(files: list[Path], corpora: list[Path], settings: Settings) -> list[Source]:
    from miner.cli.corpus_verbs import existing_corpus
    from miner.measuring.diversity import Source, of_findings, read_texts

    found = [
        Source(label=path.name, writings=read_texts(path, samples=settings.samples, seed=settings.seed))
        for path in files
    ]
    for path in corpora:
        findings = existing_corpus(path).findings()
        writings = of_findings(str(path), findings, samples=settings.samples, seed=settings.seed)
        found.append(Source(label=path.name, writings=writings))
    return found


def _policies(wanted: list[str], config: CampaignConfig, watcher: Observer) -> list[Source]:
    from miner.measuring.diversity import Source

    return [
        Source(
            label="docs policy" if one == "docs" else Path(one).name,
            policy=docs_policy(config, watcher) if one == "docs" else one,
        )
        for one in wanted
    ]


def _labelled(sources: list[Source]) -> list[Source]:
    """No two sides of the same name: later ones are numbered."""
    from dataclasses import replace

    seen: dict[str, int] = {}
    found = []
    for one in sources:
        seen[one.label] = seen.get(one.label, 0) + 1
        found.append(one if seen[one.label] == 1 else replace(one, label=f"{one.label} ({seen[one.label]})"))
    return found


def _dry_run(n_policies: int, asked: tuple[Prompt, ...], settings: Settings, *, json: bool) -> None:
    texts = n_policies * len(asked) * settings.samples
    found = {"policies": n_policies, "prompts": len(asked), "samples": texts, "tokens": texts * settings.max_new_tokens}
    if json:
        print_json(found)
    else:
        out().print(
            f"{n_policies} policies write {texts} samples on {len(asked)} prompts, at most {found['tokens']} tokens; "
            "they are read once more for entropies",
            markup=False,
        )
