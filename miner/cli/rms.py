"""``rmminer rms``: the public reward models whose settings we know."""

from __future__ import annotations

from miner.cli import options as o
from miner.cli.output import out, print_json
from miner.cli.tables import known_list


def rms(json: o.Json = False) -> None:
    """List the public reward models whose settings are known; --rm with one of these ids applies them."""
    from miner.config.published_models import KNOWN

    if json:
        print_json(
            [
                {
                    "family": entry.family,
                    "models": list(entry.models),
                    "settings": dict(entry.settings),
                    "note": entry.note,
                    "origin": entry.origin,
                }
                for entry in KNOWN
            ]
        )
    else:
        out().print(known_list(KNOWN))
