"""The reward itself: finite, the same however it is computed, and read where it should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from miner.checkpoints.devices import resolve_device
from miner.checkpoints.folders import first_line
from miner.checkpoints.precision import measured_gflops
from miner.errors import ModelError
from miner.measuring.doctor.diagnosis import Diagnosis, green, of_severity, worse
from miner.measuring.doctor.model_under_test import SAME, LocalModelUnderTest, ModelUnderTest
from miner.rewards.compute.readout import ReadAt

PADDED_SAME = 1e-3  # standard deviations of clean rewards
SIDES = ("left", "right")


def finite(patient: ModelUnderTest) -> Iterator[Diagnosis]:
    """Rewards are numbers, and not all the same one."""
    bad = int((~np.isfinite(patient.clean_rewards)).sum())
    if bad:
        yield of_severity(
            "red", "finite rewards", f"{bad} of {len(patient.clean_rewards)} clean texts get NaN or infinity",
            "the weights are damaged or overflow: load them in fp32, or fetch them again", float(bad),
        )  # fmt: skip
    elif patient.spread < 1e-6:
        yield of_severity(
            "red", "finite rewards", f"all clean texts get {patient.clean_rewards[0]:.4g}",
            "the head is untrained or zero; train it, or load another checkpoint", patient.spread,
        )  # fmt: skip
    else:
        low, high = patient.clean_rewards.min(), patient.clean_rewards.max()
        yield green(
            "finite rewards", f"{low:.3g} to {high:.3g}, standard deviation {patient.spread:.3g}", patient.spread
        )


def repeatable(patient: ModelUnderTest) -> Iterator[Diagnosis]:
    """The same text twice."""
    again = patient.rm.exact_rewards(patient.clean)
    gap = patient.in_spreads(again, patient.clean_rewards)
    yield of_severity(
        worse(gap, amber=PADDED_SAME, red=0.05), "repeatable", f"differs by {gap:.2g} sd when scored again",
        "something random is on: dropout, sampling or noise in the model's code", gap,
    )  # fmt: skip


def padding_sides(patient: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """A plain padded batch against each text alone: on the tokenizer's own side; of decoders on the other, too."""
    everything = range(len(patient.compared))
    own = patient.tokenizer.padding_side
    for side in (own, *(one for one in SIDES if one != own and patient.is_causal)):
        name = f"batch, padded {side}"
        try:
            gap = patient.in_spreads(patient.plain(everything, side=side), patient.alone)
        except (ValueError, IndexError) as error:  # no padding token, or none with an embedding
            yield of_severity(
                "amber", name, f"plain transformers cannot: {first_line(error)[:120]}", "see: padding token"
            )
            continue
        colour = worse(gap, amber=PADDED_SAME * patient.rounding, red=0.01 * patient.rounding)
        if side != own and colour == "red":
            colour = "amber"
        yield of_severity(
            colour, name, f"within {gap:.2g} sd of each text alone, in plain transformers",
            f"score one at a time, or pad on the {'other side' if side == own else own}", gap,
        )  # fmt: skip


def rmminer_paths(patient: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """Our own short cuts: batches, length buckets and shared prefixes."""
    rm = patient.rm
    alone = np.array([rm.reward(pair) for pair in patient.compared])
    paths = {"batched": rm.exact_rewards(patient.compared)}
    for way, other in patient.forward.other_ways().items():
        paths[way] = np.array([one.reward for one in other.exact(patient.compared)])
    gap = max(float(np.abs(values - alone).max()) for values in paths.values())
    plain = float(np.abs(patient.alone - alone).max())
    limit = SAME * max(1.0, patient.spread) * patient.rounding
    yield of_severity(
        worse(max(gap, plain), amber=limit, red=10 * limit), "rmminer's own paths",
        f"{', '.join(paths)}: within {gap:.1g}; within {plain:.1g} of plain transformers",
        "please report this model's architecture", max(gap, plain),
    )  # fmt: skip


def ranking_dtype(patient: ModelUnderTest) -> Iterator[Diagnosis]:
    """What the ranking dtype costs."""
    rm = patient.rm
    measured = _measured(rm.device)
    if rm.ranking_dtype == rm.reward_dtype:
        yield green("ranking dtype", f"{rm.ranking_dtype}, the one that confirms{measured}")
        return
    gap = patient.in_spreads(rm.rewards(patient.clean), patient.clean_rewards)
    yield of_severity(
        worse(gap, amber=0.2, red=1.0), "ranking dtype",
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


def attention(patient: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """The attention implementation that is used by default, against the eager one."""
    model: Any = patient.forward.model
    used = getattr(model.config, "_attn_implementation", "eager")
    if used == "eager":
        yield green("attention", "eager, the reference")
        return
    own = patient.alone
    try:
        model.set_attn_implementation("eager")
        eager = np.array([patient.plain([i], side="right")[0] for i in range(len(patient.compared))])
    finally:
        model.set_attn_implementation(used)
    gap = patient.in_spreads(eager, own)
    yield of_severity(
        worse(gap, amber=PADDED_SAME * patient.rounding, red=0.01 * patient.rounding), "attention",
        f"{used} within {gap:.2g} sd of eager",
        "this one leaves a part of the model out: --set rm.attention=eager", gap,
    )  # fmt: skip


def pooling(patient: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """At which token a decoder's reward is read, and what the end of the last turn is worth."""
    forward = patient.forward
    at = forward.read_at(patient.rows[0])
    if at is None:
        return
    row, encoded = patient.rows[0], forward.pipeline.encode(patient.compared[0])
    token = patient.tokenizer.convert_ids_to_tokens([row[at]])[0]
    inside = bool(encoded.positions) and at < encoded.positions[0]
    where = f"token {at + 1} of {len(row)}, {token!r}"
    yield of_severity(
        "red" if inside else "amber" if at < len(row) - 1 else "green", "pooling position",
        f"{where}, inside the prompt: the response is not seen" if inside else where,
        "the padding token is one that texts hold: see padding token", float(at),
    )  # fmt: skip
    reads_the_end = forward.readout.read_at in (None, ReadAt()) and forward.pipeline.append is None
    if reads_the_end and encoded.positions and encoded.positions[-1] < len(row) - 1:
        ends = [forward.pipeline.encode(pair).positions[-1] + 1 for pair in patient.compared]
        cut = np.array([_score(patient, row[:end]) for row, end in zip(patient.rows, ends, strict=True)])
        shift = float((cut - patient.alone).mean() / max(patient.spread, 1e-9))
        yield of_severity(
            worse(abs(shift), amber=0.5, red=float("inf")), "end of turn",
            f"without the last turn's end mark rewards move by {shift:+.2g} sd",
            "score finished turns only: text cut by a length limit is not comparable", shift,
        )  # fmt: skip


def _score(patient: LocalModelUnderTest, row: tuple[int, ...]) -> float:
    return float(patient.own_rewards({"input_ids": [list(row)]}, side="right")[0])
