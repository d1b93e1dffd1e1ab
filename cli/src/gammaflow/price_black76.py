"""The model ``black76`` of ``price``: European options on a forward."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from gammaflow.option_csv import FORWARD, OK, RATE, STRIKE, TAU_YEARS, VOL, Answers, BoolArray, FloatArray
from pricing.black76 import Black76, black76

COLUMNS: Final = (FORWARD, STRIKE, TAU_YEARS, VOL, RATE)


def evaluate(is_call: BoolArray, numbers: Mapping[str, FloatArray]) -> Answers:
    """Price and eleven greeks per one coin of option, named and in units as in :class:`pricing.black76.Black76`."""
    values = black76(
        forward=numbers["forward"],
        strike=numbers["strike"],
        tau_years=numbers["tau_years"],
        vol=numbers["vol"],
        is_call=is_call,
        rate=numbers["rate"],
    )
    return Answers(
        columns={field.name: getattr(values, field.name) for field in fields(Black76)}, status=[OK] * is_call.size
    )
