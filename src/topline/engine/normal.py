"""The normal distribution on arrays, by a fine table: within 1e-6 of the exact values between -7 and 7."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_Z = np.linspace(-7, 7, 14_001)
_P = np.array([0.5 * (1 + erf(z / sqrt(2))) for z in _Z])


def cdf(z: ArrayLike) -> Floats:
    """The probability of a value up to z."""
    return np.asarray(np.interp(np.asarray(z, dtype=float), _Z, _P, left=0.0, right=1.0))


def quantile(p: ArrayLike) -> Floats:
    """The value up to which the probability is p; minus and plus infinity at 0 and 1."""
    found = np.interp(np.asarray(p, dtype=float), _P, _Z)
    return np.where(np.asarray(p) <= 0, -np.inf, np.where(np.asarray(p) >= 1, np.inf, found))
