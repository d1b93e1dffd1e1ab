"""The picture of ``./run surface --plot``: a panel per expiry, bid–ask of every used quote and the fitted smile."""

import math
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gammaflow.errors import UserError
from gammaflow.surface_chain import ReadChain
from pricing.surface.build import FittedExpiry, Surface
from pricing.surface.quotes import smile_vol

_COLUMNS: Final = 4
_POINTS: Final = 201
# Without these two a picture of the same surface would differ from run to run.
_REPRODUCIBLE: Final = {"Date": None}


def plot(surfaces: list[tuple[ReadChain, Surface]], path: Path) -> None:
    """Write one picture of all fitted expiries; raises :class:`UserError` if the file cannot be written."""
    panels = [(read, one) for read, surface in surfaces for one in surface.expiries if one.smile and one.quotes]
    if not panels:
        raise UserError(f"nothing to draw in {path}: no expiry has a smile")
    mpl.rcParams["svg.hashsalt"] = "gammaflow"
    rows = math.ceil(len(panels) / _COLUMNS)
    figure = Figure(figsize=(4.0 * _COLUMNS, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis, (read, one) in zip(axes, panels, strict=False):
        _panel(axis, read.underlying, one)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    # The first of each label: some expiries have no summary.
    lines = {line.get_label(): line for axis in axes for line in axis.get_legend_handles_labels()[0]}
    figure.legend(lines.values(), [str(label) for label in lines], loc="outside lower center", ncols=3, fontsize=8)
    try:
        figure.savefig(path, dpi=110, metadata=None if path.suffix == ".png" else _REPRODUCIBLE)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot draw {path}: {error}; end it in .png, .svg or .pdf") from error


def _panel(axis: Axes, underlying: str, one: FittedExpiry) -> None:
    if one.quotes is None or one.smile is None:
        return
    quotes = one.quotes
    k = np.linspace(quotes.log_moneyness[0], quotes.log_moneyness[-1], _POINTS)
    axis.vlines(
        quotes.log_moneyness, 100 * quotes.bid_vol, 100 * quotes.ask_vol, color="0.6", linewidth=2, label="bid–ask"
    )
    axis.plot(k, 100 * smile_vol(one.smile, k), color="C0", linewidth=1.2, label="fitted smile")
    if one.summary is not None and one.smile is not one.summary.svi:
        axis.plot(
            k, 100 * smile_vol(one.summary.svi, k), color="C1", linewidth=0.8, linestyle="--", label="SVI summary"
        )
    axis.set_title(f"{underlying} {one.expiry[:10]} {one.status}", fontsize=9)
    axis.set_xlabel("ln(K/F)", fontsize=8)
    axis.set_ylabel("vol, points", fontsize=8)
    axis.tick_params(labelsize=8)
