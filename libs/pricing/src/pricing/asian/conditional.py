"""Options on the average given the residual of the path: the direction of the average is integrated exactly.

In units of the forward, with k the effective strike over the forward and A(z) of :mod:`pricing.asian.moments`, A rises
with z; z* is where A(z*) = k. The side that is out of the money is worked on, in y = z for the call (z* ≥ 0 without
residual) and y = −z for the put, which only turns the signs of c and Δ. With φ and N of the standard normal:

====================  =================================================================
quantity              given the residual
====================  =================================================================
value                 ±[I − k·N(−y*)]
I                     ∫ A·φ dy from y* on = Σ M_k·Δ^k·h_k(y*); the delta is ±I
curvature by k        φ(y*)/|A′(y*)|
slope by σ            ±∫ ∂A/∂σ·φ dy, ∂A/∂σ = Σ_i (∂_σ a_i + a_i·b_i·z)·e^(σb_i·z)
h_k(y)                ∫ x^k·e^(cx)·φ(x) dx from y on = (k−1)·h_(k−2) + c·h_(k−1) + y^(k−1)·e^(cy)·φ(y)
====================  =================================================================

All are smooth in the residual: there is no indicator whose rare jumps a small sample could miss. Conditioning on the
average of the logarithms goes back to M. Curran, "Valuing Asian and portfolio options by conditioning on the geometric
mean price", Management Science 40 (1994) 1705–1711; with the mean moments in place of a path's the value is the lower
bound of L. C. G. Rogers and Z. Shi, "The value of an Asian option", J. Appl. Prob. 32 (1995) 1077–1088.

The kernels: :mod:`pricing.asian.bound_kernel` and :mod:`pricing.asian.conditional_kernel`.
"""

from typing import Final

VALUE: Final = 0
PARTIAL: Final = 1
CURVATURE: Final = 2
VOL_SLOPE: Final = 3
OUTPUTS: Final = 4
"""Rows of results: value, I, curvature by k, slope by σ."""

MEAN: Final = 0
SPREAD: Final = 1
VOL: Final = 2
TARGET: Final = 3
START: Final = 4
INPUTS: Final = 5
"""Columns of a table of strikes: c and Δ, σ, k, and where the search for y* starts."""
