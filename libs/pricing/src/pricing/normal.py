"""The normal distribution as steps of vectorised kernels: density, distribution, and the Mills ratio behind both.

The Mills ratio M(y) = (1 − N(y))/φ(y) varies slowly where N and φ vanish, and keeps their relative accuracy. Here
M(y) = P(u)/(y + 6) with u = (y − 4.5)/(y + 6), which maps y ≥ −0.75 to −1 ≤ u < 1; P is a Chebyshev interpolant of
degree 25, computed with 50 digits (relative error below 3e-17 before rounding). The rational map is that of M. M.
Shepherd and J. G. Laframboise, "Chebyshev approximation of (1 + 2x)exp(x²)erfc x in 0 ≤ x < ∞", Math. Comp. 36 (1981)
249–253.
"""

from typing import Final

from pricing.compiled import inlined
from pricing.elementary import exponential

INV_SQRT_2PI: Final = 0.3989422804014327
MILLS_FROM: Final = -0.75
"""Lowest argument of :func:`mills`."""
SHIFT: Final = 6.0
_SPAN: Final = 10.5
_P: Final = (
    2.2319910946413337,
    -2.5564296835556446,
    2.567217745447287,
    -2.2564559536900535,
    1.7255033209338826,
    -1.1344962538620869,
    0.6278251423611866,
    -0.28084219866798726,
    0.09264766768112319,
    -0.016124219041085065,
    -0.003212137475701993,
    0.003114171570052596,
    -0.0006493317912639538,
    -0.00021871583194437808,
    0.0001466950905924886,
    -8.38920818932806e-07,
    -2.2060583048427544e-05,
    3.5877849143970063e-06,
    3.1111564148289624e-06,
    -8.998908024014361e-07,
    -4.438913535560053e-07,
    1.7007248744039888e-07,
    5.796664573009866e-08,
    -2.481751657374637e-08,
    -4.749840017647809e-09,
    2.0632270922632863e-09,
)


@inlined
def normal_pdf(x: float) -> float:
    """φ(x) = exp(−x²/2)/√(2π)."""
    return INV_SQRT_2PI * exponential(-0.5 * x * x)


@inlined
def normal_cdf(x: float) -> float:
    """N(x), accurate relative to itself in the lower tail too."""
    tail = normal_pdf(x) * mills(abs(x))
    return 1.0 - tail if x > 0 else tail


@inlined
def mills(y: float) -> float:
    """M(y) = (1 − N(y))/φ(y) for y ≥ −0.75, to about 1e-15 relative."""
    v = 1.0 / (y + SHIFT)
    u = (y - 4.5) * v
    p = (((((_P[25] * u + _P[24]) * u + _P[23]) * u + _P[22]) * u + _P[21]) * u + _P[20]) * u + _P[19]
    p = (((((p * u + _P[18]) * u + _P[17]) * u + _P[16]) * u + _P[15]) * u + _P[14]) * u + _P[13]
    p = (((((p * u + _P[12]) * u + _P[11]) * u + _P[10]) * u + _P[9]) * u + _P[8]) * u + _P[7]
    p = (((((p * u + _P[6]) * u + _P[5]) * u + _P[4]) * u + _P[3]) * u + _P[2]) * u + _P[1]
    return (p * u + _P[0]) * v


@inlined
def mills_pair(y: float, z: float, span: float) -> tuple[float, float, float]:
    """Return M(y), M(z) and M(y) − M(z) for z ≥ y ≥ −0.75, the difference accurate relative to itself.

    ``span`` is z − y as the caller knows it, before y and z were rounded.

    Horner's scheme for P at u(y) carries the divided difference Q = P[u(y), u(z)] along; even and odd powers apart, so
    that the chain of steps that wait for each other is half as long. With v = 1/(y + 6) the factor z − y comes out
    exactly: M(y) − M(z) = (z − y)·v(y)·v(z)·[P(u(y)) − 10.5·v(z)·Q], and Q < 0: nothing cancels.
    """
    both = 1.0 / ((y + SHIFT) * (z + SHIFT))
    u = (y - 4.5) * (both * (z + SHIFT))
    w = (z - 4.5) * (both * (y + SHIFT))
    uu, ww = u * u, w * w
    odd, odd_by, even, even_by = _P[25] * uu + _P[23], _P[25], _P[24] * uu + _P[22], _P[24]
    odd, odd_by = odd * uu + _P[21], odd_by * ww + odd
    even, even_by = even * uu + _P[20], even_by * ww + even
    odd, odd_by = odd * uu + _P[19], odd_by * ww + odd
    even, even_by = even * uu + _P[18], even_by * ww + even
    odd, odd_by = odd * uu + _P[17], odd_by * ww + odd
    even, even_by = even * uu + _P[16], even_by * ww + even
    odd, odd_by = odd * uu + _P[15], odd_by * ww + odd
    even, even_by = even * uu + _P[14], even_by * ww + even
    odd, odd_by = odd * uu + _P[13], odd_by * ww + odd
    even, even_by = even * uu + _P[12], even_by * ww + even
    odd, odd_by = odd * uu + _P[11], odd_by * ww + odd
    even, even_by = even * uu + _P[10], even_by * ww + even
    odd, odd_by = odd * uu + _P[9], odd_by * ww + odd
    even, even_by = even * uu + _P[8], even_by * ww + even
    odd, odd_by = odd * uu + _P[7], odd_by * ww + odd
    even, even_by = even * uu + _P[6], even_by * ww + even
    odd, odd_by = odd * uu + _P[5], odd_by * ww + odd
    even, even_by = even * uu + _P[4], even_by * ww + even
    odd, odd_by = odd * uu + _P[3], odd_by * ww + odd
    even, even_by = even * uu + _P[2], even_by * ww + even
    odd, odd_by = odd * uu + _P[1], odd_by * ww + odd
    even, even_by = even * uu + _P[0], even_by * ww + even
    p = odd * u + even
    q = (u + w) * (w * odd_by + even_by) + odd
    difference = span * both * (p - _SPAN * both * (y + SHIFT) * q)
    at_z = p + _SPAN * (z - y) * both * q
    return p * both * (z + SHIFT), at_z * both * (y + SHIFT), difference
