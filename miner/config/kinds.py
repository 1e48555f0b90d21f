"""The kinds of models that a campaign file can name: ours, one row each, and those that installed packages register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from pydantic import BaseModel

from miner.errors import ConfigError

REWARD_MODELS, POLICIES = "rmminer.reward_models", "rmminer.policies"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How one kind of model is described and opened. An entry point names an object of this class.

    ``opener`` is "module:function", imported when such a model is opened: of a reward model
    ``(section, source, references) -> RewardModel``, where ``references`` maps each prompt's conversation to its good
    answer and ``source`` stands in for the section's where a patched one is wanted; of a policy
    ``(section, device) -> Policy``. ``section`` is the table of the campaign file
    where a kind has keys of its own: a subclass of ``RewardModelSection`` or ``PolicySection``; None is those
    themselves. ``is_folder``: whether a source is a model folder or hub id, of which the files say what it is.
    ``example`` is "module:function", which writes a small model into a folder and gives its table of the campaign file:
    the conformance suite opens that.
    """

    opener: str
    section: type[BaseModel] | None = None
    is_folder: bool = False
    example: str | None = None

    def load(self) -> Callable[..., Any]:
        """The opener itself.

        Raises:
            ConfigError: there is no such function.
        """
        return imported(self.opener)


def imported(place: str) -> Callable[..., Any]:
    """The function at "module:function".

    Raises:
        ConfigError: there is none.
    """
    module, _, name = place.partition(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{place!r} cannot be imported: {error}") from error
    return function


BUILT_IN: Mapping[str, Mapping[str, Kind]] = {
    REWARD_MODELS: {
        "classifier": Kind(opener="miner.rewards.opening:open_scalar", is_folder=True),
        "pairwise": Kind(opener="miner.rewards.opening:open_pairwise", is_folder=True),
        "judge": Kind(opener="miner.rewards.opening:open_judge", is_folder=True),
        "process": Kind(opener="miner.rewards.opening:open_process", is_folder=True),
        "remote": Kind(opener="miner.rewards.opening:open_remote"),
    },
    POLICIES: {"causal": Kind(opener="miner.language_models.policies:open_causal", is_folder=True)},
}


def known_kinds(group: str) -> dict[str, Kind]:
    """The kinds of ``group`` by name, ours first; an installed package may add to them, not replace one."""
    ours = BUILT_IN[group]
    theirs = {point.name: point.load() for point in entry_points(group=group) if point.name not in ours}
    return {**ours, **theirs}


def kind_called(name: object, group: str) -> Kind:
    """The kind of this name. No other package is imported than the one that registers it.

    Raises:
        ConfigError: there is none of this name; the nearest is named.
    """
    ours = BUILT_IN[group]
    if isinstance(name, str) and name in ours:
        return ours[name]
    theirs = {point.name: point for point in entry_points(group=group)}
    if isinstance(name, str) and name in theirs:
        kind: Kind = theirs[name].load()
        return kind
    known = [*ours, *theirs]
    near = get_close_matches(str(name), known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ConfigError(f"no kind {name!r}{hint}. Kinds: {', '.join(known)}")


SectionT = TypeVar("SectionT", bound=BaseModel)


def read_by_kind(
    section: type[SectionT], values: object, read: Callable[[Any], SectionT], group: str, name: object
) -> SectionT:
    """``values`` read by the section of the kind called ``name`` where that has one of its own, else by ``read``.

    Raises:
        ValueError: no such kind, or its section is not built on ``section``.
    """
    try:
        own = kind_called(name, group).section
    except ConfigError as error:
        raise ValueError(str(error)) from error
    if own is None or issubclass(section, own):
        return read(values)
    if not issubclass(own, section):
        raise ValueError(f"kind {name!r} is described by {own.__name__}, which is no subclass of {section.__name__}")
    return own.model_validate(values)
