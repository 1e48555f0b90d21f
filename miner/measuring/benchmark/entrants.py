"""Who is ranked: folders, hub ids, addresses, campaign files, and docs world's own, each with a name to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from miner.config.campaign import DataSection
from miner.config.reward_model import rm_table_of
from miner.errors import ConfigError
from miner.progress import Observer
from miner.worlds.docs.models import DOCS

Entrants = Mapping[str, Mapping[str, Any]]  # by name the RM's table of the campaign file


def entrants(models: Sequence[str], data: DataSection, *, observer: Observer) -> Entrants:
    """The tables of ``models`` by name. A campaign file gives its own; ``docs`` is the whole zoo, ``docs:KIND`` one of
    it, trained where the user's cache lacks it; anything else is a source.

    Raises:
        ConfigError: a model named twice, no such kind, or a file that holds no RM.
    """
    if len(set(models)) < len(models):
        raise ConfigError("a model is named twice; name each once")
    found: dict[str, Mapping[str, Any]] = {}
    shown = names([model for model in models if not _is_docs(model)])
    for model in models:
        if _is_docs(model):
            from miner.measuring.benchmark.docs_models import resolve

            of_docs = resolve([model], data, observer=observer)
            if doubled := of_docs.keys() & found.keys():
                raise ConfigError(f"{sorted(doubled)[0]} is named twice; name each once")
            found |= {name: {"source": source} for name, source in of_docs.items()}
        else:
            found[shown[model]] = rm_table_of(model)
    return found


def names(models: Sequence[str]) -> dict[str, str]:
    """What to call each: of a path here its shortest end that no other has, so that no page tells of folders."""
    parts = {model: Path(model).parts if Path(model).exists() else (model,) for model in models}
    found = {}
    for model, mine in parts.items():
        others = [other for one, other in parts.items() if one != model]
        ends = ("/".join(mine[-n:]) for n in range(1, len(mine) + 1))
        found[model] = next(
            (end for n, end in enumerate(ends, start=1) if all("/".join(other[-n:]) != end for other in others)), model
        ).removesuffix(".toml")
    return found


def _is_docs(model: str) -> bool:
    return model == DOCS or model.startswith(f"{DOCS}:")
