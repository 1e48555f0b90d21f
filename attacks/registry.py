"""The attacks there are: ours, one line each, and those that installed packages register."""

from __future__ import annotations

from importlib.metadata import entry_points

from attacks.archive import Archive
from attacks.attribution import AttributionGuided
from attacks.base import Attack
from attacks.best_of_n import BestOfN
from attacks.carried import CarriedAlong
from attacks.corrupt import Corrupt
from attacks.evolve import Evolve
from attacks.gcg import GCG
from attacks.guided import Guided
from attacks.random_search import RandomSearch
from attacks.relax import Relaxation
from attacks.single_token import SingleToken
from attacks.surrogate import Surrogate
from attacks.trained_policy import TrainedPolicy
from attacks.transfer import Transfer
from attacks.universal import Universal

ENTRY_POINTS = "rmminer.attacks"

BUILT_IN: tuple[type[Attack], ...] = (
    GCG,
    RandomSearch,
    Corrupt,
    BestOfN,
    TrainedPolicy,
    SingleToken,
    Transfer,
    Universal,
    Evolve,
    Guided,
    Relaxation,
    AttributionGuided,
    Archive,
    CarriedAlong,
    Surrogate,
)


def known_attacks() -> dict[str, type[Attack]]:
    """Attack classes by name; an installed package may add to ours (entry points ``rmminer.attacks``), not replace."""
    ours = {attack.name: attack for attack in BUILT_IN}
    theirs = {point.name: point.load() for point in entry_points(group=ENTRY_POINTS) if point.name not in ours}
    return {**theirs, **ours}
