"""Moments of every path. Formulas: :mod:`pricing.asian.moments`."""

import numpy as np

from pricing.black76 import FloatArray
from pricing.compiled import kernel
from pricing.elementary import exponential


@kernel(
    "void(f8[:, :, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[::1], f8[:, :, :, ::1], f8[:, :, :, ::1])"
)
def fill_moments(  # noqa: PLR0917 - kernels take positions only
    normals: FloatArray,
    components: FloatArray,
    powers: FloatArray,
    exponents: FloatArray,
    drifts: FloatArray,
    vols: FloatArray,
    level: FloatArray,
    slope: FloatArray,
) -> None:
    """Add to ``level`` and ``slope`` (q, randomisations, terms, points), which are 0.

    ``exponents`` are ln w_i − σ²t_i/2 and ``drifts`` σt_i, shape (q, g); ``components`` has shape (g, d), ``normals``
    (randomisations, d, points). Points are innermost, for the vector units.
    """
    points = normals.shape[2]
    path, weight, steep = np.empty(points), np.empty(points), np.empty(points)
    for r in range(normals.shape[0]):
        for g in range(components.shape[0]):
            path[:] = 0.0
            for d in range(components.shape[1]):
                for p in range(points):
                    path[p] += components[g, d] * normals[r, d, p]
            for q in range(vols.size):
                for p in range(points):
                    weight[p] = exponential(vols[q] * path[p] + exponents[q, g])
                    steep[p] = weight[p] * (path[p] - drifts[q, g])
                for k in range(powers.shape[0]):
                    for p in range(points):
                        level[q, r, k, p] += powers[k, g] * weight[p]
                        slope[q, r, k, p] += powers[k, g] * steep[p]
