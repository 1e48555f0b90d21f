"""The reward itself: finite, the same however it is computed, and read where it should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from miner.checkpoints.devices import resolve_device
from miner.checkpoints.folders import first_line
from miner.checkpoints.precision import measured_gflops
from miner.errors import ModelError
from miner.measuring.doctor.diagnosis import Diagnosis, green, of_severity, severity_above
from miner.measuring.doctor.model_under_test import SAME, LocalModelUnderTest, ModelUnderTest
from miner.rewards.compute.readout import ReadAt

PADDED_SAME = 1e-3  # standard deviations of clean rewards
SIDES = ("left", "right")


def finite(model: ModelUnderTest) -> Iterator[Diagnosis]:
    """Rewards are numbers, and not all the same one."""
    bad = int((~np.isfinite(model.clean_rewards)).sum())
    if bad:
        yield of_severity(
            "red", "finite rewards", f"{bad} of {len(model.clean_rewards)} clean texts get NaN or infinity",
            "the weights are damaged or overflow: load them in fp32, or fetch them again", float(bad),
        )  # fmt: skip
    elif model.spread < 1e-6:
        yield of_severity(
            "red", "finite rewards", f"all clean texts get {model.clean_rewards[0]:.4g}",
            "the head is untrained or zero; train it, or load another checkpoint", model.spread,
        )  # fmt: skip
    else:
        low, high = model.clean_rewards.min(), model.clean_rewards.max()
        yield green("finite rewards", f"{low:.3g} to {high:.3g}, standard deviation {model.spread:.3g}", model.spread)


def repeatable(model: ModelUnderTest) -> Iterator[Diagnosis]:
    """The same text twice."""
    again = model.rm.exact_rewards(model.clean)
    gap = model.in_spreads(again, model.clean_rewards)
    yield of_severity(
        severity_above(gap, amber=PADDED_SAME, red=0.05), "repeatable", f"differs by {gap:.2g} sd when scored again",
        "something random is on: dropout, sampling or noise in the model's code", gap,
    )  # fmt: skip


def padding_sides(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """A plain padded batch against each text alone: on the tokenizer's own side; of decoders on the other, too."""
    everything = range(len(model.compared))
    own = model.tokenizer.padding_side
    for side in (own, *(one for one in SIDES if one != own and model.is_causal)):
        name = f"batch, padded {side}"
        try:
            gap = model.in_spreads(model.plain(everything, side=side), model.alone)
        except (ValueError, IndexError) as error:  # no padding token, or none with an embedding
            yield of_severity(
                "amber", name, f"plain transformers cannot: {first_line(error)[:120]}", "see: padding token"
            )
            continue
        colour = severity_above(gap, amber=PADDED_SAME * model.rounding, red=0.01 * model.rounding)
        if side != own and colour == "red":
            colour = "amber"
        yield of_severity(
            colour, name, f"within {gap:.2g} sd of each text alone, in plain transformers",
            f"score one at a time, or pad on the {'other side' if side == own else own}", gap,
        )  # fmt: skip


def rmminer_paths(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """Our own short cuts: batches, length buckets and shared prefixes."""
    rm = model.rm
    alone = np.array([rm.reward(pair) for pair in model.compared])
    paths = {"batched": rm.exact_rewards(model.compared)}
    for way, other in model.forward.other_ways().items():
        paths[way] = np.array([one.reward for one in other.exact(model.compared)])
    gap = max(float(np.abs(values - alone).max()) for values in paths.values())
    plain = float(np.abs(model.alone - alone).max())
    limit = SAME * max(1.0, model.spread) * model.rounding
    yield of_severity(
        severity_above(max(gap, plain), amber=limit, red=10 * limit), "rmminer's own paths",
        f"{', '.join(paths)}: within {gap:.1g}; within {plain:.1g} of plain transformers",
        "please report this model's architecture", max(gap, plain),
    )  # fmt: skip


def ranking_dtype(model: ModelUnderTest) -> Iterator[Diagnosis]:
    """What the ranking dtype costs."""
    rm = model.rm
    measured = _measured(rm.device)
    if rm.ranking_dtype == rm.reward_dtype:
        yield green("ranking dtype", f"{rm.ranking_dtype}, the one that confirms{measured}")
        return
    gap = model.in_spreads(rm.rewards(model.clean), model.clean_rewards)
    yield of_severity(
        severity_above(gap, amber=0.2, red=1.0), "ranking dtype",
        f"{rm.ranking_dtype} within {gap:.2g} sd of {rm.reward_dtype}{measured}",
        "rank in fp32: --dtype float32", gap,
    )  # fmt: skip


def _measured(device: str) -> str:
    """How fast the RM's device multiplies; nothing of one that is elsewhere or several."""
    try:
        rates = measured_gflops(resolve_device(device))
    except ModelError:
        return ""
    return f"; products here: {', '.join(f'{rate:.3g} GFLOP/s in {dtype}' for dtype, rate in rates.items())}"


def attention(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """The attention implementation that is used by default, against the eager one."""
    module: Any = model.forward.model
    used = getattr(module.config, "_attn_implementation", "eager")
    if used == "eager":
        yield green("attention", "eager, the reference")
        return
    own = model.alone
    try:
        module.set_attn_implementation("eager")
        eager = np.array([model.plain([i], side="right")[0] for i in range(len(model.compared))])
    finally:
        module.set_attn_implementation(used)
    gap = model.in_spreads(eager, own)
    yield of_severity(
        severity_above(gap, amber=PADDED_SAME * model.rounding, red=0.01 * model.rounding), "attention",
        f"{used} within {gap:.2g} sd of eager",
        "this one leaves a part of the model out: --set rm.attention=eager", gap,
    )  # fmt: skip


def pooling(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """At which token a decoder's reward is read, and what the end of the last turn is worth."""
    forward = model.forward
    at = forward.read_at(model.rows[0])
    if at is None:
        return
    row, encoded = model.rows[0], forward.pipeline.encode(model.compared[0])
    token = model.tokenizer.convert_ids_to_tokens([row[at]])[0]
    inside = bool(encoded.positions) and at < encoded.positions[0]
    where = f"token {at + 1} of {len(row)}, {token!r}"
    yield of_severity(
        "red" if inside else "amber" if at < len(row) - 1 else "green", "pooling position",
        f"{where}, inside the prompt: the response is not seen" if inside else where,
        "the padding token is one that texts hold: see padding token", float(at),
    )  # fmt: skip
    reads_the_end = forward.readout.read_at in (None, ReadAt()) and forward.pipeline.append is None
    if reads_the_end and encoded.positions and encoded.positions[-1] < len(row) - 1:
        ends = [forward.pipeline.encode(pair).positions[-1] + 1 for pair in model.compared]
        cut = np.array([_score(model, row[:end]) for row, end in zip(model.rows, ends, strict=True)])
        shift = float((cut - model.alone).mean() / max(model.spread, 1e-9))
        yield of_severity(
            severity_above(abs(shift), amber=0.5, red=float("inf")), "end of turn",
            f"without the last turn's end mark rewards move by {shift:+.2g} sd",
            "score finished turns only: text cut by a length limit is not comparable", shift,
        )  # fmt: skip


def _score(model: LocalModelUnderTest, row: tuple[int, ...]) -> float:
    return float(model.own_rewards({"input_ids": [list(row)]}, side="right")[0])
