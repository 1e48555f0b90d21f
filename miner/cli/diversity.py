"""``rmminer diversity``: what optimising against an RM does to creativity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miner.cli import options as o
from miner.cli.corpus_verbs import existing_corpus
from miner.cli.output import command_line, out, print_json
from miner.cli.watcher import running

if TYPE_CHECKING:
    from corpus.records import Prompt
    from miner.measuring.diversity import MeasuredSource, Settings
    from miner.measuring.diversity.run import DiversityRequest


@dataclass(frozen=True, kw_only=True)
class DiversityOptions:
    """The options of ``rmminer diversity``."""

    policies: Annotated[
        list[str] | None,
        typer.Argument(
            help="Policies, compared with the first: folders, hub ids or 'docs'. With a run's folder as --checkpoints "
            "the first is the policy that it started from.",
            show_default=False,
        ),
    ] = None
    folder: Annotated[
        str,
        typer.Option(
            "--out",
            help="Folder of the results; samples there are used again. A campaign's report shows its RUN/diversity.",
        ),
    ] = "runs/diversity"
    data: Annotated[
        str | None,
        typer.Option(help="Preference data whose held-out prompts are asked, or 'docs'. Left out: the run's, or docs."),
    ] = None
    texts: Annotated[
        list[Path] | None, typer.Option(help="JSONL of texts, with their prompts if any; repeat for more.")
    ] = None
    corpus: Annotated[list[Path] | None, typer.Option(help="Run whose findings are measured; repeat.")] = None
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="A run's folder of overopt, or JSONL: label, policy or texts, sqrt_kl and gold where known.",
            show_default=False,
        ),
    ] = None
    at_most: o.AtMost = None
    embedding: Annotated[
        str | None, typer.Option(help="Sentence embedding: folder or hub id. MiniLM unless named.", show_default=False)
    ] = None
    gold_rm: o.GoldRm = None
    reference_lm: o.ReferenceLm = None
    prompts: Annotated[int, typer.Option(help="Prompts to ask.", min=1)] = 64
    samples: Annotated[int, typer.Option(help="Samples of each prompt.", min=1)] = 16
    max_new_tokens: o.MaxNewTokens = None
    temperature: Annotated[float, typer.Option(help="Of the samples; entropies are at 1.")] = 1.0
    mode_distance: Annotated[float, typer.Option(help="Cosine distance at which modes are cut.", min=0, max=2)] = 0.6
    off_mode_tokens: Annotated[int, typer.Option(help="Words forced in the attractor test; 0: none.", min=0)] = 5
    seed: o.Seed = None
    device: o.Device = None
    settings: o.Settings = None

    def request(self) -> DiversityRequest:
        """Raises: ConfigError, DataError: an option that does not fit, or a file that cannot be read."""
        from miner.measuring.diversity import Settings
        from miner.measuring.diversity.run import DiversityRequest
        from miner.measuring.measurement_inputs import checkpoint_config, tokens_of

        policies, start = list(self.policies or []), None
        if self.checkpoints is not None and self.checkpoints.is_dir() and policies:
            start = policies.pop(0)
        no_rm = None if self.data in (None, "docs") else "none"  # a campaign needs one; here none takes part
        given = o.CampaignOptions(
            rm=no_rm, data=self.data, policy=start, reference_lm=self.reference_lm, seed=self.seed, device=self.device,
            settings=self.settings,
        )  # fmt: skip
        config = checkpoint_config(self.checkpoints, o.overrides_from_options(given))
        settings = Settings(
            samples=self.samples,
            max_new_tokens=tokens_of(self.checkpoints, self.max_new_tokens),
            temperature=self.temperature,
            mode_distance=self.mode_distance,
            off_mode_tokens=self.off_mode_tokens,
            seed=config.seed,
            device=config.rm.device,
        )
        settings.plan()  # refuse what cannot be sampled before anything is loaded
        return DiversityRequest(
            config=config,
            settings=settings,
            folder=Path(self.folder),
            policies=tuple(policies),
            texts=_texts(self.texts or [], self.corpus or [], settings),
            checkpoints=self.checkpoints,
            at_most=self.at_most,
            embedding=self.embedding,
            gold_rm=self.gold_rm,
            prompts=self.prompts,
        )


def diversity(options: DiversityOptions, json: o.Json = False, dry_run: o.DryRun = False) -> None:
    """Measure how varied policies or texts are: words, meaning, entropy, attractors."""
    from miner.cli.diversity_tables import diversity_table, show_report
    from miner.measuring.diversity.run import run_diversity
    from miner.reporting.sections import DIVERSITY

    request, watcher = options.request(), running()
    if dry_run:
        return _print_plan(request.n_policies, request.asked(watcher), request.settings, json=json)
    report = run_diversity(request, observer=watcher, command=command_line())
    title = "Diversity of " + " and ".join(side.label for side in report.sides[:4])
    show_report(report, DIVERSITY, title, request.folder, table=diversity_table, json=json)
    return None


def _texts(files: list[Path], corpora: list[Path], settings: Settings) -> tuple[MeasuredSource, ...]:
    from miner.measuring.diversity import MeasuredSource, of_findings, read_texts

    found = [
        MeasuredSource(label=path.name, response_sets=read_texts(path, samples=settings.samples, seed=settings.seed))
        for path in files
    ]
    for path in corpora:
        findings = existing_corpus(path).findings()
        response_sets = of_findings(str(path), findings, samples=settings.samples, seed=settings.seed)
        found.append(MeasuredSource(label=path.name, response_sets=response_sets))
    return tuple(found)


def _print_plan(n_policies: int, asked: tuple[Prompt, ...], settings: Settings, *, json: bool) -> None:
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
