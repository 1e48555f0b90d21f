"""Which checks there are. A new one is a file and a line here; third parties use entry points ``rmminer.checks``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from miner.errors import ConfigError
from miner.judging.checks.base import Aspect, Check, Materials

CheckFactory = Callable[[Materials], Check | None]
"""A classmethod of the check; None where the materials do not suffice, such as no reference LM."""

GROUP = "rmminer.checks"
CHECKS: Mapping[str, str] = {
    "fluency": "miner.judging.checks.fluency:Fluency.of",
    "order": "miner.judging.checks.order:Order.of",
    "repetition": "miner.judging.checks.repetition:Repetition.of",
    "relevance": "miner.judging.checks.relevance:Relevance.of",
    "construction": "miner.judging.checks.construction:Construction.of",
}
"""Where each check's factory lies: imported on use, since some need torch."""


def known_checks() -> dict[str, EntryPoint]:
    """Every registered check by name, ours first; a third party cannot replace one of ours."""
    ours = {name: EntryPoint(name, where, GROUP) for name, where in CHECKS.items()}
    return {**{entry.name: entry for entry in entry_points(group=GROUP)}, **ours}


def aspect_of(name: str) -> Aspect | None:
    """Of what the verdicts of the check called ``name`` speak; None where it is not registered."""
    ours = CHECKS.get(name)
    entry = EntryPoint(name, ours, GROUP) if ours else known_checks().get(name)
    factory = entry.load() if entry else None
    aspect: Aspect | None = getattr(getattr(factory, "__self__", factory), "speaks_of", None)
    return aspect


def build_checks(materials: Materials, names: Sequence[str] = ()) -> tuple[Check, ...]:
    """The checks called ``names``; without names, all that these materials suffice for.

    Raises:
        ConfigError: a named check that these materials do not suffice for; and as ``require_known``.
    """
    known = known_checks()
    require_known(names)
    built = {name: _factory(known[name])(materials) for name in names or known}
    if lacking := [name for name in names if built[name] is None]:
        raise ConfigError(
            f"check {lacking[0]!r} lacks what it is built from: a reference LM. Give one, --reference-lm FOLDER, or "
            "leave the check out of checks.names"
        )
    return tuple(check for check in built.values() if check is not None)


def require_known(names: Sequence[str]) -> None:
    """Refuse names of checks that there are not.

    Raises:
        ConfigError: an unknown name, the nearest is named; or a name given twice.
    """
    known = known_checks()
    if len(set(names)) < len(names):
        raise ConfigError(f"a check can vote once; got {', '.join(names)}")
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigError(f"no check {name!r}{hint}. Checks: {', '.join(known)}")


def _factory(entry: EntryPoint) -> CheckFactory:
    factory: CheckFactory = entry.load()
    return factory
