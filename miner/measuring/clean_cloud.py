"""How far out of clean text a text lies: its Mahalanobis distance in hidden states to those of clean texts.

Lee et al. 2018 (arXiv:1807.03888), with the covariance shrunk towards a sphere by Ledoit and Wolf (2004, J.
Multivariate Analysis 88, 365–411): there are seldom many more clean texts than dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanCloud:
    """Clean latents as one ellipsoid of ``n`` texts, by how much its covariance was shrunk."""

    mean: Floats
    precision: Floats
    shrinkage: float
    n: int

    @classmethod
    def of(cls, latents: Floats) -> CleanCloud:
        """The cloud that ``latents``, (n, hidden), were drawn from; rows with NaN (empty texts) are left out.

        Raises:
            ValueError: fewer than two of them, or all the same.
        """
        from sklearn.covariance import LedoitWolf

        known = latents[~np.isnan(latents).any(1)]
        if len(known) < 2 or not (known != known[0]).any():
            raise ValueError(f"a domain needs at least two different latents; got {len(known)}")
        fitted = LedoitWolf().fit(known)
        return cls(mean=fitted.location_, precision=fitted.precision_, shrinkage=float(fitted.shrinkage_), n=len(known))

    def distances(self, latents: Floats) -> Floats:
        """Mahalanobis distance of each, about the root of the dimensions for clean text: (n,)."""
        apart = latents - self.mean
        distances: Floats = np.sqrt(np.maximum(((apart @ self.precision) * apart).sum(axis=1), 0.0))
        return distances

    def scaled_distances(self, latents: Floats) -> Floats:
        """Distances per root dimension, about 1 for clean text: (n,)."""
        scaled: Floats = self.distances(latents) / np.sqrt(len(self.mean))
        return scaled


def percentiles(distances: Floats, clean: Floats) -> Floats:
    """The share of ``clean`` distances that each one is at least as large as, in percent; ties count half."""
    ordered = np.sort(clean)
    below, upto = np.searchsorted(ordered, distances, "left"), np.searchsorted(ordered, distances, "right")
    found: Floats = 100 * (below + upto) / 2 / len(clean)
    return found
