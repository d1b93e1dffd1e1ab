"""The mean of a smooth function over many equally spaced points, from few of them."""

from functools import lru_cache
from typing import Final

import numpy as np

from pricing.black76 import FloatArray

MAX_NODES: Final = 64
"""Nodes that stand for any number of points: exact for polynomials up to degree 127, and to rounding for the paths
here, whose fastest mode has eight periods (see :mod:`pricing.asian.brownian_average`)."""


@lru_cache(maxsize=64)
def mean_nodes(n_points: int, max_nodes: int = MAX_NODES) -> tuple[FloatArray, FloatArray]:
    """Nodes in [0, n_points − 1] and weights, with Σ w_g f(x_g) = (1/n) Σ_{i<n} f(i) for a smooth f.

    Up to ``max_nodes`` points the nodes are the points themselves. Beyond, they are Gauss's nodes for the counting
    measure, from the recurrence of Gram's (discrete Chebyshev) polynomials [1, §2.8] by the eigenvalues of their Jacobi
    matrix [2].

    [1] G. Szegő, "Orthogonal Polynomials", 4th ed., AMS (1975).
    [2] G. H. Golub, J. H. Welsch, "Calculation of Gauss quadrature rules", Math. Comp. 23 (1969) 221–230.
    """
    if n_points <= max_nodes:
        nodes, weights = np.arange(n_points, dtype=np.float64), np.full(n_points, 1.0 / n_points)
    else:
        k = np.arange(1.0, max_nodes)
        beside = np.sqrt(k**2 * (n_points**2 - k**2) / (4.0 * (4.0 * k**2 - 1.0)))
        offsets, vectors = np.linalg.eigh(np.diag(beside, 1) + np.diag(beside, -1))
        nodes, weights = offsets + 0.5 * (n_points - 1), vectors[0] ** 2
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights
