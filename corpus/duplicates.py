"""Near-duplicate marks: derived when asked for, never written into published rows."""

from __future__ import annotations

from collections.abc import Sequence

from rensa import RMinHash, RMinHashLSH

from corpus.records import Finding

_PERMUTATIONS = 128
_BANDS = 32
_SEED = 1
_SHINGLE = 5


def near_duplicates(findings: Sequence[Finding], threshold: float = 0.7) -> dict[str, str]:
    """For each finding's id, the id of the finding that stands for its group: the first in order that is similar.

    Similar are responses whose sets of 5-character shingles (case and spacing aside) have an estimated Jaccard
    similarity of at least ``threshold``. MinHash with 128 permutations errs by about 0.04; below a
    threshold of 0.6 the index starts to miss pairs (1 % of those with similarity 0.6).
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"expected a threshold above 0 and at most 1, got {threshold}")
    index = RMinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS, num_bands=_BANDS)
    sketches: list[RMinHash] = []
    leaders: list[str] = []
    marks: dict[str, str] = {}
    for finding in findings:
        sketch = RMinHash(num_perm=_PERMUTATIONS, seed=_SEED)
        sketch.update(_shingles(finding.response))
        similar = [key for key in sorted(index.query(sketch)) if sketch.jaccard(sketches[key]) >= threshold]
        if similar:
            marks[finding.finding_id] = leaders[similar[0]]
            continue
        index.insert(len(leaders), sketch)
        sketches.append(sketch)
        leaders.append(finding.finding_id)
        marks[finding.finding_id] = finding.finding_id
    return marks


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the two texts' shingles, as ``near_duplicates`` estimates it: 1.0 for the same text."""
    a, b = set(_shingles(one)), set(_shingles(other))
    return len(a & b) / len(a | b)


def _shingles(text: str) -> list[str]:
    plain = " ".join(text.casefold().split())
    return sorted({plain[start : start + _SHINGLE] for start in range(max(1, len(plain) - _SHINGLE + 1))})
