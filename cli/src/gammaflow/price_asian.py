"""The model ``asian`` of ``price``: options that settle to an average, seasoned or not."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Final

import numpy as np
import numpy.typing as npt

from gammaflow.option_csv import FORWARD, OK, RATE, STRIKE, TAU_YEARS, VOL, Answers, BoolArray, Column, FloatArray
from pricing.asian.averaging import DERIBIT_FIXINGS, DERIBIT_WINDOW_MINUTES, MINUTES_PER_YEAR, Averaging
from pricing.asian.chain import AsianGreeks
from pricing.asian.rqmc import rqmc

COLUMNS: Final = (
    FORWARD,
    STRIKE,
    TAU_YEARS,
    VOL,
    RATE,
    Column(name="window_minutes", at_least=0.0, default=DERIBIT_WINDOW_MINUTES),
    Column(name="n_fixings", at_least=1.0, whole=True, default=DERIBIT_FIXINGS),
    # Not given: counted from tau_years.
    Column(name="n_past", at_least=0.0, whole=True, default=math.nan),
    Column(name="past_average", above=0.0, default=math.nan),
)
_TERMS: Final = ("tau_years", "window_minutes", "n_fixings", "n_past", "past_average")
_OPTION: Final = ("forward", "strike", "vol", "rate")
_QUANTITIES: Final = tuple(field.name for field in fields(AsianGreeks))


def evaluate(is_call: BoolArray, numbers: Mapping[str, FloatArray]) -> Answers:
    """Price, delta, gamma and vega with their standard errors (``…_se``); rows of one average share their paths."""
    names = [name for quantity in _QUANTITIES for name in (quantity, f"{quantity}_se")]
    columns = {name: np.full(is_call.size, np.nan) for name in names}
    status = np.full(is_call.size, OK, dtype=object)
    for rows in _groups(numbers):
        _evaluate_rows(rows, is_call, numbers, columns, status)
    return Answers(columns=columns, status=status.tolist())


def _groups(numbers: Mapping[str, FloatArray]) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the rows of each average."""
    # −1 for what is not given: to numpy, rows with NaN are never equal.
    terms = np.nan_to_num(np.stack([numbers[name] for name in _TERMS], axis=1), nan=-1.0)
    if terms.size:
        _, group = np.unique(terms, axis=0, return_inverse=True)
        order = np.argsort(group, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _evaluate_rows(
    rows: npt.NDArray[np.int64],
    is_call: BoolArray,
    numbers: Mapping[str, FloatArray],
    columns: Mapping[str, FloatArray],
    status: npt.NDArray[np.object_],
) -> None:
    try:
        averaging = _averaging({name: float(numbers[name][rows[0]]) for name in _TERMS})
        forward, strike, vol, rate = (numbers[name][rows] for name in _OPTION)
        estimate = rqmc(averaging, forward=forward, strike=strike, vol=vol, is_call=is_call[rows], rate=rate)
    except ValueError as error:
        if rows.size > 1:  # one row's fault is not the others'
            for row in rows:
                _evaluate_rows(row[None], is_call, numbers, columns, status)
        else:
            status[rows] = f"bad_input: {error}"
        return
    for name in _QUANTITIES:
        columns[name][rows] = getattr(estimate.value, name)
        columns[f"{name}_se"][rows] = getattr(estimate.standard_error, name)


def _averaging(terms: Mapping[str, float]) -> Averaging:
    tau, window, n = terms["tau_years"], terms["window_minutes"] / MINUTES_PER_YEAR, int(terms["n_fixings"])
    past = None if math.isnan(terms["past_average"]) else terms["past_average"]
    if math.isnan(terms["n_past"]):
        return Averaging.at(tau_years=tau, window_years=window, n_fixings=n, past_average=past)
    return Averaging(tau_years=tau, window_years=window, n_fixings=n, n_past=int(terms["n_past"]), past_average=past)
