"""From an ``OptionGreeks`` record to the arrays that exposures are computed from."""

from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.records import OptionGreeks
from dealer_flow.chain import ChainGreeks

STALE: Final = 8
"""Bit of ``OptionGreeks.quality`` for an input that is too old"""


def chain_greeks(record: OptionGreeks) -> ChainGreeks:
    """Unpack the columns. Raises :class:`ValueError` naming a column whose length is not one element per instrument."""

    def column(name: str, dtype: str) -> npt.NDArray[np.generic]:
        packed = np.frombuffer(getattr(record, name), dtype=dtype)
        if packed.size != len(record.instruments):
            raise ValueError(
                f"options.greeks {record.venue} {record.underlying} second {record.second}: column {name} has "
                f"{packed.size} elements for {len(record.instruments)} instruments; its writer is broken"
            )
        return packed

    def floats(name: str) -> npt.NDArray[np.float64]:
        return column(name, "<f8").astype(np.float64, copy=False)

    return ChainGreeks(
        spot=record.spot,
        spot_age_ms=record.spot_age_ms,
        expiry_ts=column("expiry_ts", "<i8").astype(np.int64, copy=False),
        strike=floats("strike"),
        is_call=column("is_call", "u1").astype(np.bool_),
        tau_years=floats("tau_years"),
        forward=floats("forward"),
        vol=floats("vol"),
        delta=floats("delta"),
        gamma=floats("gamma"),
        vega_per_unit_vol=floats("vega_per_unit_vol"),
        vanna_per_unit_vol=floats("vanna_per_unit_vol"),
        volga_per_unit_vol2=floats("volga_per_unit_vol2"),
        charm_per_year=floats("charm_per_year"),
        open_interest_base=floats("open_interest_base"),
        age_ms=floats("age_ms"),
        stale=(column("quality", "u1").astype(np.uint8, copy=False) & STALE) != 0,
    )
