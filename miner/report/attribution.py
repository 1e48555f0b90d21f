"""Which tokens of a response earn its reward: integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365).

The path runs from a response of nothing but the mask (or padding) token to the response itself; the prompt and the
special tokens stay. Along it captum integrates the gradient at the input embeddings, so that the attributions sum to
the reward minus the reward of the masked response, up to a completeness error that is kept with every result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.records import Finding
from miner.errors import RmMinerError, TooLongError
from miner.rewards.base import Pair

if TYPE_CHECKING:
    import torch

    from miner.report.reading import Run
    from miner.rewards.pipeline import Encoded
    from miner.rewards.transformer import TransformerRewardModel

Progress = Callable[[int, int], None]
RESCORING_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAttribution:
    """What each token of a response adds to its reward.

    ``values[i]`` belongs to the characters ``spans[i]`` of the response and is in units of reward. ``rise`` is the
    reward minus that of the masked response; ``sum(values)`` equals it up to ``completeness_error``.
    """

    spans: tuple[tuple[int, int], ...]
    values: tuple[float, ...]
    reward: float
    rise: float
    completeness_error: float

    @property
    def relative_error(self) -> float:
        """The completeness error as a share of what was distributed; 0 where there was nothing to distribute."""
        scale = max(abs(self.rise), *(abs(value) for value in self.values), 1e-12)
        return abs(self.completeness_error) / scale

    def disagrees_with(self, recorded: float) -> bool:
        """Whether the RM at hand scores the response otherwise than was recorded, beyond rounding of any dtype."""
        return abs(self.reward - recorded) > RESCORING_TOLERANCE * max(1.0, abs(recorded))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """How much to attribute, and with which RMs.

    ``load`` is given the RM of a round: the folder that the summary names, or its name as it is where no such folder
    exists. One RM is held at a time. ``max_findings`` and ``time_limit_s`` bound the work, whichever comes first.
    """

    load: Callable[[str], TransformerRewardModel] | None = None
    n_steps: int = 32
    max_findings: int = 24
    time_limit_s: float = 120.0

    def loaded(self, source: str) -> TransformerRewardModel:
        if self.load is not None:
            return self.load(source)
        from miner.rewards.loading import load_reward_model

        return load_reward_model(source)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionResults:
    """Attributions by finding id, and what could not be attributed, in words."""

    by_finding: dict[str, TokenAttribution]
    notes: list[str]


def attribute_findings(
    run: Run, shown: Sequence[Finding], settings: Attribution, progress: Progress | None = None
) -> AttributionResults:
    """Attributes the first ``max_findings`` of ``shown``, each with the RM it fooled."""
    chosen = shown[: settings.max_findings]
    by_finding: dict[str, TokenAttribution] = {}
    notes: list[str] = []
    deadline = time.monotonic() + settings.time_limit_s
    for done, (finding, model) in enumerate(_with_models(run, chosen, settings, notes), start=1):
        if time.monotonic() > deadline:
            notes.append(
                f"Attribution stopped after its {settings.time_limit_s:.0f} s: {len(by_finding)} of {len(chosen)}."
            )
            break
        try:
            result = attribute(model, Pair(finding.prompt, finding.response), n_steps=settings.n_steps)
        except TooLongError:
            result = None  # the row then shows plain text, like any the RM does not read in full
        if result is not None:
            by_finding[finding.finding_id] = result
        if progress is not None:
            progress(done, len(chosen))
    return AttributionResults(by_finding=by_finding, notes=notes)


def _with_models(
    run: Run, chosen: Sequence[Finding], settings: Attribution, notes: list[str]
) -> Iterator[tuple[Finding, TransformerRewardModel]]:
    """Each finding with its round's RM, round by round; a round whose RM is not the recorded one goes to ``notes``."""
    for number in sorted({finding.round for finding in chosen}):
        mine = [finding for finding in chosen if finding.round == number]
        try:
            model = settings.loaded(run.model_source(number))
        except RmMinerError as error:
            notes.append(f"No attribution for round {number}: {error}.")
            continue
        same = [finding for finding in mine if finding.rm_fingerprint == model.fingerprint]
        if len(same) < len(mine):
            notes.append(
                f"No attribution for {len(mine) - len(same)} findings of round {number}: they fooled another RM than "
                f"the one at {run.model_source(number)} (fingerprint {model.fingerprint[:12]})."
            )
        yield from ((finding, model) for finding in same)


def attribute(model: TransformerRewardModel, pair: Pair, *, n_steps: int = 32) -> TokenAttribution | None:
    """Per token of the response its share of the reward; None where the RM's pipeline locates no response token.

    Raises:
        TooLongError: as ``RewardModel.reward``.
    """
    import torch
    from captum.attr import IntegratedGradients

    encoded = model.pipeline.encode(pair)
    if not encoded.positions:
        return None
    response = list(encoded.positions)
    ids = torch.tensor([encoded.ids], device=model.model.device)
    masked = ids.clone()
    masked[0, response] = baseline_token(model)
    embed = model.model.get_input_embeddings()
    with torch.no_grad():
        start, end = embed(masked), embed(ids)  # (1, n_tokens, hidden)
    parts, error = IntegratedGradients(_RewardOfEmbeddings(model, encoded)).attribute(
        end,
        baselines=start,
        n_steps=n_steps,
        internal_batch_size=max(1, model.budget.batch_tokens // (4 * len(encoded.ids))),  # a backward pass holds ~4
        return_convergence_delta=True,
    )
    values = parts[0].detach().double().sum(-1)[response]  # (n_positions,)
    return TokenAttribution(
        spans=encoded.spans,
        values=tuple(values.tolist()),
        reward=model.reward(pair),
        rise=float(values.sum()) - float(error[0]),
        completeness_error=float(error[0]),
    )


@dataclass(frozen=True, slots=True)
class _RewardOfEmbeddings:
    """The RM as a function of its token embeddings; ids still say where the model reads its reward."""

    model: TransformerRewardModel
    encoded: Encoded

    def __call__(self, embeddings: torch.Tensor) -> torch.Tensor:
        rows = [(self.encoded.ids, self.encoded.type_ids)] * len(embeddings)
        module = self.model.model.get_input_embeddings()
        hook = module.register_forward_hook(lambda _module, _inputs, _output: embeddings)
        try:
            return self.model.logits_for_training(self.model.model, rows)
        finally:
            hook.remove()


def baseline_token(model: TransformerRewardModel) -> int:
    """The id that stands for no token: the mask, else padding, else the end of text."""
    tokenizer = model.pipeline.tokenizer
    candidates = (tokenizer.mask_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((int(token) for token in candidates if token is not None), 0)
