"""Adapters beside whole weights are found by nobody who does not ask for them."""

from __future__ import annotations

import subprocess
import sys

FIRST_LOAD = """
from miner.checkpoints.adapters import _LOOKING, _LOOKS_FOR_ONE, _none, left_alone
from importlib import import_module
with left_alone():
    found = [getattr(import_module(name), _LOOKS_FOR_ONE, None) for name in _LOOKING]
assert _none in found and set(found) <= {_none, None}, found
assert not any(getattr(import_module(name), _LOOKS_FOR_ONE, None) is _none for name in _LOOKING)
"""


def test_the_first_load_of_a_process_finds_no_more_than_the_second() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_LOAD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
