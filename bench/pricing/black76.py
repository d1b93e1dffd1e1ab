"""Section: Black-76 price and greeks of many options."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from bench.pricing.numpy_black76 import numpy_black76
from bench.pricing.peer_environment import Figure, measured
from bench.pricing.section import Run, Section, Target
from bench.pricing.timing import fastest_s, processor, wall
from bench.pricing.workload import Options, options

from pricing.black76 import Black76, black76

CASES: Final = ((10_000, 1), (1_000_000, 1), (1_000_000, 2))
OURS: Final = "gammaflow"
REUSED: Final = "gammaflow, results into the same memory"
NUMPY: Final = "numpy + scipy ndtr, 20 lines"
OUTPUTS: Final = {OURS: "12", REUSED: "12", NUMPY: "12"}
FEWER: Final = "6"
"""What the peers are asked for: price, delta, gamma, vega, theta and rho, which is all they have in common."""
LIMITS_NS: Final = (25.0, 35.0, 15.0)


def section(run: Run) -> Section:
    """Measure all cases; ours and numpy in this process, the peers in one of their own."""
    cases = [_case(run, n, threads) for n, threads in CASES]
    worst = max(figure.error for case in cases for figure in case.values())
    names = list(dict.fromkeys(name for case in cases for name in case))
    rows = [
        [name, OUTPUTS.get(name, FEWER), *(cell for case in cases for cell in _cells(name, case))] for name in names
    ]
    heads = (f"{n:,}, {threads} thread{'s' * (threads > 1)}" for n, threads in CASES)
    return Section(
        title="Black-76: price and greeks, ns per option",
        columns=["contender", "outputs", *(text for head in heads for text in (head, "over ours"))],
        rows=rows,
        targets=_targets(cases),
        notes=[
            "Outputs: price, delta, gamma, vega, theta, rho, vanna, volga, charm, speed, color, zomma; the first six.",
            "py_vollib and QuantLib-Python price one option at a time and are timed on 2,000.",
            f"All prices agree within {worst:.0e} of the forward.",
        ],
    )


def _case(run: Run, n: int, threads: int) -> dict[str, Figure]:
    o, out = options(n), np.empty((12, n))
    right = _ours(o)
    calls = {OURS: lambda: _ours(o, threads), REUSED: lambda: _ours(o, threads, out)}
    if threads == 1:
        calls[NUMPY] = lambda: numpy_black76(o)
    prices = {OURS: right.price, REUSED: _ours(o, threads, out).price, NUMPY: numpy_black76(o)[0]}
    seconds = fastest_s(calls, run.repeats(15), processor if threads == 1 else wall)
    figures = {
        name: Figure(seconds=seconds[name] / n, error=float(np.max(np.abs(prices[name] - right.price) / o.forward)))
        for name in calls
    }
    return figures | measured(run, "black76", o, right.price, threads=threads, repeats=run.repeats(7))


def _ours(o: Options, threads: int = 1, out: np.ndarray | None = None) -> Black76:
    return black76(
        forward=o.forward,
        strike=o.strike,
        tau_years=o.tau_years,
        vol=o.vol,
        is_call=o.is_call,
        threads=threads,
        out=out,
    )


def _cells(name: str, case: Mapping[str, Figure]) -> tuple[str, str]:
    if name not in case:
        return "–", "–"
    return f"{case[name].seconds * 1e9:,.1f}", f"{case[name].seconds / case[REUSED].seconds:,.1f}×"


def _targets(cases: list[dict[str, Figure]]) -> list[Target]:
    reached = []
    for (n, threads), case, limit in zip(CASES, cases, LIMITS_NS, strict=True):
        ns = case[REUSED].seconds * 1e9
        asked = f"price + 11 greeks, {n:,} options, {threads} thread(s) ≤ {limit:g} ns"
        reached.append(Target(asked=asked, measured=f"{ns:.1f} ns", met=ns <= limit))
    rivals = [figure.seconds for name, figure in cases[0].items() if name.startswith("fast-vollib")]
    if rivals:
        ratio = min(rivals) / cases[0][REUSED].seconds
        asked = "≥ 4 × as fast as fast-vollib, with twice the outputs"
        reached.append(Target(asked=asked, measured=f"{ratio:.1f}×", met=ratio >= 4.0))
    return reached
