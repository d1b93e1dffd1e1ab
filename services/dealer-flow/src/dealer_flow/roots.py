"""Every sign change of a function that is known on nodes and can be evaluated between them."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from dealer_flow.chain import FloatArray

RELATIVE_TOLERANCE: Final = 1e-12
"""Width of the last bracket over the root: well inside the 1e-10 that is promised."""
_VERTEX_SHARE: Final = 0.5
"""A dip is looked into when its parabola gets below this share of the middle node."""


def sign_changes(
    function: Callable[[float], float], nodes: FloatArray, values: FloatArray, *, floor: float
) -> tuple[float, ...]:
    """Return the points where ``function`` changes sign within the nodes, ascending, each to 1e-10 relative or better.

    ``nodes`` ascend strictly, ``values`` are the function there, and |value| ≤ ``floor`` counts as zero. Rules:

    * a zero on a node between opposite signs is one root; a stretch of zeros between opposite signs is one, too, and
      some point of the stretch is returned;
    * touching zero without changing sign is no root, and neither are zeros at the ends;
    * a dip towards zero between nodes is searched for its extremum, so that a pair of roots inside a cell is found.
    """
    nodes, values = _with_dips(function, nodes, values, floor)
    signs = np.where(np.abs(values) <= floor, 0.0, np.sign(values))
    solid = np.flatnonzero(signs)
    return tuple(
        _root(function, nodes[left : right + 1], values[left : right + 1])
        for left, right in pairwise(solid.tolist())
        if signs[left] != signs[right]
    )


def _root(function: Callable[[float], float], nodes: FloatArray, values: FloatArray) -> float:
    """Root between the outer nodes, whose values have opposite signs; an inner node that is exactly zero is it."""
    exact = np.flatnonzero(values == 0.0)
    if exact.size:
        return float(nodes[exact[exact.size // 2]])
    low, high = float(nodes[0]), float(nodes[-1])
    return float(brentq(function, low, high, xtol=RELATIVE_TOLERANCE * low, rtol=RELATIVE_TOLERANCE))


def _with_dips(
    function: Callable[[float], float], nodes: FloatArray, values: FloatArray, floor: float
) -> tuple[FloatArray, FloatArray]:
    """Add the extremum of each dip that may cross zero between nodes of one sign."""
    found = [_extremum(function, nodes[i - 1 : i + 2], float(np.sign(values[i]))) for i in _dips(nodes, values, floor)]
    new = np.setdiff1d(np.array(found, dtype=np.float64), nodes)
    at = np.searchsorted(nodes, new)
    return np.insert(nodes, at, new), np.insert(values, at, [function(float(x)) for x in new])


def _dips(nodes: FloatArray, values: FloatArray, floor: float) -> list[int]:
    """Inner nodes above the floor that are lower in size than their neighbours of the same sign, and bend enough."""
    size, sign = np.abs(values), np.sign(values)
    left, middle, right = size[:-2], size[1:-1], size[2:]
    one_sign = (sign[:-2] == sign[1:-1]) & (sign[1:-1] == sign[2:]) & (middle > floor)
    dips = np.flatnonzero(one_sign & (middle <= left) & (middle <= right) & ((middle < left) | (middle < right))) + 1
    return [i for i in dips.tolist() if _vertex(nodes[i - 1 : i + 2], size[i - 1 : i + 2]) < _VERTEX_SHARE * size[i]]


def _vertex(x: FloatArray, y: FloatArray) -> float:
    """Least value of the parabola through three points whose middle one is the lowest."""
    a, b = x[1] - x[0], x[2] - x[1]
    down, up = (y[1] - y[0]) / a, (y[2] - y[1]) / b
    curvature = (up - down) / (a + b)
    slope = down + a * curvature
    return float(y[1] - slope * slope / (4.0 * curvature))


def _extremum(function: Callable[[float], float], nodes: FloatArray, sign: float) -> float:
    low, high = float(nodes[0]), float(nodes[2])
    found = minimize_scalar(lambda x: sign * function(x), bounds=(low, high), method="bounded")
    return float(found.x)
