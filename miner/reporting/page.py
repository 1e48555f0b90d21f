"""The HTML page: a template that escapes everything, under a policy that lets in nothing but itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from miner.measuring.diversity.report import MeasuredPolicy
from miner.measuring.diversity.response_sets import Scope
from miner.measuring.triage.result import Auroc
from miner.reporting.plot_style import round_name
from miner.reporting.reading import success
from miner.rewards.heatmap import heat_map
from miner.safe_text import number, safe_environment
from miner.statistics import Difference, Mean, Ratio

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One figure as PNG for light and for dark paper."""

    light: bytes
    dark: bytes


def page_assets() -> dict[str, Markup]:
    """The style sheet, the script, and the policy that lets in nothing else."""
    script, style = asset("paging.js"), asset("style.css")
    return {"policy": content_security_policy(script, style), "script": script, "style": style}


def content_security_policy(script: str, style: str) -> Markup:
    """Nothing loads but inline images, this one style sheet and this one script."""
    # Markup: the hashes and quotes are ours, and the policy must be readable in the source
    return Markup(
        f"default-src 'none'; img-src data:; style-src '{_sha256(style)}'; script-src '{_sha256(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def asset(name: str) -> Markup:
    """A script or style sheet of ours, to be written into the page as it is."""
    return Markup((HERE / name).read_text(encoding="utf-8"))


def environment(folder: Path = HERE) -> Environment:
    """The templates of ``folder``, and ours: they escape whatever they are given, and undefined names are errors."""
    environment = safe_environment(folder, HERE)
    environment.filters.update(times=times, average=average, data_uri=data_uri, success=success)
    environment.globals["heat_map"] = heat_map
    environment.globals["round_name"] = round_name
    return environment


def times(ratio: Ratio) -> Markup:
    """A ratio with its interval and n."""
    ends = [
        Markup('<data value="{}">{}</data>').format(repr(end), number(end, 1))
        for end in (ratio.value, ratio.low, ratio.high)
    ]
    return Markup(
        '<span class="rate">×\u00a0{}</span> <span class="interval">({}\u00a0to\u00a0{}, n\u00a0=\u00a0{})</span>'
    ).format(*ends, number(ratio.n, 0))


def average(found: Mean | Difference, *, signed: bool = False) -> Markup:
    """A mean, or a difference of means, with its interval and n."""
    digits = 2 if max(abs(found.low), abs(found.high)) >= 2 else 3
    value, low, high = (number(end, digits, signed=signed) for end in (found.value, found.low, found.high))
    return Markup(
        '<span class="rate">{}</span> <span class="interval">({}\u00a0to\u00a0{}, n\u00a0=\u00a0{})</span>'
    ).format(value, low, high, number(found.n, 0))


def select_metric(sides: Sequence[MeasuredPolicy], name: str, scope: Scope) -> list[MeasuredPolicy]:
    """The sides that have this statistic."""
    return [side for side in sides if side.metric(name, scope) is not None]


def auroc(one: Auroc) -> Markup:
    """An AUROC with its interval and how many it compares."""
    return Markup(
        '<span class="rate">{}</span> <span class="interval">({}\u00a0to\u00a0{}, n\u00a0=\u00a0{} and {})</span>'
    ).format(number(one.value), number(one.low), number(one.high), number(one.n_positive, 0), number(one.n_negative, 0))


def data_uri(png: bytes) -> Markup:
    return Markup("data:image/png;base64,") + Markup(base64.b64encode(png).decode())
