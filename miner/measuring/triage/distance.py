"""How far out of an RM's domain a text is: its Mahalanobis distance to the RM's clean references.

Lee et al. 2018 (arXiv:1807.03888) on the last hidden state, with the covariance shrunk towards a sphere as Ledoit and
Wolf (2004, J. Multivariate Analysis 88, 365–411) derive: there are seldom many more references than dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Clean latents as one ellipsoid: ``mean``, and the covariance's Cholesky factor."""

    mean: Floats
    factor: Floats
    shrinkage: float
    n: int

    @classmethod
    def of(cls, latents: Floats) -> Domain:
        """The domain that ``latents``, (n, hidden), were drawn from.

        Raises:
            ValueError: fewer than two of them, or all the same.
        """
        if len(latents) < 2 or not (latents != latents[0]).any():
            raise ValueError(f"a domain needs at least two different latents; got {len(latents)}")
        mean = latents.mean(axis=0)
        covariance, shrinkage = ledoit_wolf(latents - mean)
        return cls(
            mean=mean,
            factor=np.asarray(np.linalg.cholesky(covariance), dtype=np.float64),
            shrinkage=shrinkage,
            n=len(latents),
        )

    def distances(self, latents: Floats) -> Floats:
        """Mahalanobis distance of each: (n,)."""
        whitened = linalg.solve_triangular(self.factor, (latents - self.mean).T, lower=True)  # (hidden, n)
        distances: Floats = np.sqrt((whitened**2).sum(axis=0))
        return distances


def ledoit_wolf(centred: Floats) -> tuple[Floats, float]:
    """The covariance of ``centred``, (n, p), shrunk towards a multiple of the identity, and by what share."""
    n, p = centred.shape
    sample = centred.T @ centred / n
    scale = float(np.trace(sample)) / p
    spread = float(((sample - scale * np.eye(p)) ** 2).sum()) / p
    error = (float(((centred**2).sum(axis=1) ** 2).mean()) - float((sample**2).sum())) / (n * p)
    share = min(error, spread) / spread if spread > 0 else 1.0
    return (1 - share) * sample + share * scale * np.eye(p), share


def percentiles(distances: Floats, clean: Floats) -> Floats:
    """The share of ``clean`` distances that each one is at least as large as, in percent; ties count half."""
    ordered = np.sort(clean)
    below, upto = np.searchsorted(ordered, distances, "left"), np.searchsorted(ordered, distances, "right")
    found: Floats = 100 * (below + upto) / 2 / len(clean)
    return found
