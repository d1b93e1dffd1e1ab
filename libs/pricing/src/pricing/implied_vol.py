"""Implied vol of whole arrays, to the last digits that the prices determine, with a status for each.

Computed by a compiled kernel (:mod:`pricing.implied_vol_kernel`, which has the method and its sources), loaded at the
first call; the readable form is :mod:`pricing.implied_vol_reference`.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from pricing.black76 import FloatArray, flat
from pricing.chunks import in_chunks

ByteArray = npt.NDArray[np.uint8]


class ImpliedVolStatus(IntEnum):
    """Why an option has an implied vol, or has none."""

    OK = 0
    BELOW_INTRINSIC = 1
    """The price is below the discounted intrinsic value: no vol, and an arbitrage."""
    AT_INTRINSIC = 2
    """No time value is left in the digits of the price: any small enough vol gives it."""
    ABOVE_MAXIMUM = 3
    """The price is at or above the discounted forward (call) or strike (put): no finite vol gives it."""
    NO_QUOTE = 4
    """The price is missing or not finite."""
    EXPIRED = 5
    """The time to expiry is 0 or negative."""
    BAD_INPUT = 6
    """Forward, strike, time or rate is missing or impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpliedVols:
    """Vols and their statuses, of the broadcast shape of the inputs."""

    vol: FloatArray
    """σ, decimal per √year; NaN where the status is not OK"""
    status: ByteArray
    """An :class:`ImpliedVolStatus` each"""


def implied_vol(
    *,
    price: npt.ArrayLike,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    tau_years: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    threads: int = 1,
) -> ImpliedVols:
    """Return the σ at which :func:`pricing.black76.black76` gives ``price``, discounted, in the unit of the forward.

    Inputs broadcast against each other; none raises, each element has its own status. The relative error is a few
    units in the last place plus what rounding of the price itself makes of it, ε·price/(σ·vega) (P. Jäckel, "Let's Be
    Rational", Wilmott 75 (2015) 40–53, §8). ``threads``: the options are shared out among so many, for the same bits.

    Example::

        >>> iv = implied_vol(price=4.29201094141, forward=100.0, strike=110.0, tau_years=1.0, is_call=True)
        >>> round(float(iv.vol), 10), ImpliedVolStatus(int(iv.status)).name
        (0.2, 'OK')
    """
    from pricing import implied_vol_kernel as kernel  # noqa: PLC0415 - numba takes half a second to import
    from pricing.black76_kernel import BLOCK  # noqa: PLC0415

    arrays = [np.asarray(values, dtype=np.float64) for values in (price, forward, strike, tau_years, rate)]
    call = np.asarray(is_call, dtype=np.bool_)
    shape = np.broadcast(call, *arrays).shape
    inputs = tuple(flat(array, shape) for array in arrays)
    calls = flat(call, shape).view(np.uint8)
    n = math.prod(shape)
    vols, statuses = np.empty(n), np.empty(n, dtype=np.uint8)
    in_chunks(lambda a, b: kernel.solve(inputs, calls, a, b, vols, statuses), n, threads, BLOCK)
    return ImpliedVols(vol=vols.reshape(shape), status=statuses.reshape(shape))


def load_kernel() -> None:
    """Load the compiled kernel now instead of in the first call: for a service, before the first second it prices."""
    from pricing import implied_vol_kernel  # noqa: F401, PLC0415
