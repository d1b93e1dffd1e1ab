"""exp and ln as short branch-free polynomials: steps of vectorised kernels, where a call of libm would stop LLVM.

Coefficients: Chebyshev interpolants of the functions named beside them, computed with 50 digits. Splitting ln 2 in two
(Cody and Waite, "Software Manual for the Elementary Functions", Prentice-Hall 1980, chapters 5 and 6) keeps the last
digits in the reduction of the argument.
"""

from typing import Final

import numpy as np

from pricing.compiled import inlined

LARGEST: Final = 1.7976931348623157e308
SMALLEST_NORMAL: Final = 2.2250738585072014e-308
_LOG2_E: Final = 1.4426950408889634
_LN2_HIGH: Final = 6.93147180369123816490e-01
_LN2_LOW: Final = 1.90821492927058770002e-10
_SQRT2: Final = 1.4142135623730951
# Added to a number below 2^51 in size it leaves the nearest integer in the low bits.
_ROUND: Final = 6755399441055744.0
_ROUND_BITS: Final = 0x4338000000000000
_MANTISSA: Final = 0x000FFFFFFFFFFFFF
_ONE: Final = 0x3FF0000000000000
# (exp(r) − 1 − r)/r² for |r| ≤ ln(2)/2; error of exp below 2e-17
_E: Final = (
    0.5000000000000001,
    0.1666666666666667,
    0.04166666666662412,
    0.008333333333326134,
    0.0013888888917215586,
    0.00019841269874822307,
    2.4801521293463862e-05,
    2.755725539833871e-06,
    2.762008948195459e-07,
    2.5105217695684516e-08,
)
# (atanh(f)/f − 1)/f² in f², for |f| ≤ (√2 − 1)/(√2 + 1); error of atanh(f)/f below 1e-17
_A: Final = (
    0.3333333333333335,
    0.19999999999949195,
    0.1428571431322631,
    0.11111105530282205,
    0.09091447160042139,
    0.07665777371640456,
    0.07309226036357401,
)


@inlined
def _reduced(x: float) -> tuple[float, np.int64]:
    """Return exp(r) and k with x = r + k·ln 2, |r| ≤ ln(2)/2."""
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = (((_E[9] * r + _E[8]) * r + _E[7]) * r + _E[6]) * r + _E[5]
    p = ((((p * r + _E[4]) * r + _E[3]) * r + _E[2]) * r + _E[1]) * r + _E[0]
    return (p * r + 1.0) * r + 1.0, np.int64(np.float64(shifted).view(np.int64) - np.int64(_ROUND_BITS))


@inlined
def exponential(x: float) -> float:
    """exp(x) to 2 ulp; 0 below −745.2, and the largest float instead of ∞ above 709.7. NaN stays NaN."""
    p, k = _reduced(min(max(x, -750.0), 709.7))
    # 2^k as two factors, so that results below the smallest normal number underflow gradually
    half = np.int64(k >> np.int64(1))
    first = np.int64((half + np.int64(1023)) << np.int64(52)).view(np.float64)
    second = np.int64((k - half + np.int64(1023)) << np.int64(52)).view(np.float64)
    return p * first * second


@inlined
def exponential_or_zero(x: float) -> float:
    """exp(x) for x < 709, to 2 ulp, with less work: 0 at once below −708. NaN stays NaN."""
    p, k = _reduced(x)
    scaled = p * np.int64((k + np.int64(1023)) << np.int64(52)).view(np.float64)
    return 0.0 if x < -708.0 else scaled


@inlined
def log_ratio(a: float, b: float) -> float:
    """ln(a/b) of positive normal floats to 2 ulp, however near a is to b: 2·atanh((a′ − b′)/(a′ + b′)) + n·ln 2.

    a′ and b′ are the mantissas, scaled by a power of 2 to a ratio between 1/√2 and √2, so a′ − b′ is exact (Sterbenz).
    """
    bits_a, bits_b = np.float64(a).view(np.int64), np.float64(b).view(np.int64)
    n = np.float64((bits_a >> np.int64(52)) - (bits_b >> np.int64(52)))
    p = np.int64((bits_a & np.int64(_MANTISSA)) | np.int64(_ONE)).view(np.float64)
    q = np.int64((bits_b & np.int64(_MANTISSA)) | np.int64(_ONE)).view(np.float64)
    above, below = p > _SQRT2 * q, q > _SQRT2 * p
    n = n + 1.0 if above else n
    n = n - 1.0 if below else n
    p = p * 0.5 if above else p
    q = q * 0.5 if below else q
    f = (p - q) / (p + q)
    g = f * f
    series = (((((_A[6] * g + _A[5]) * g + _A[4]) * g + _A[3]) * g + _A[2]) * g + _A[1]) * g + _A[0]
    # NaN in a or b is lost with its bits: a − b brings it back.
    lost = 0.0 if a == a and b == b else np.nan  # noqa: PLR0124
    return n * _LN2_HIGH + (2.0 * f + (2.0 * f * g * series + n * _LN2_LOW)) + lost


@inlined
def logarithm(x: float) -> float:
    """ln(x) of a positive normal float to 2 ulp."""
    return log_ratio(x, 1.0)
