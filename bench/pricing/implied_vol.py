"""Section: implied vols of many options that are out of the money."""

from typing import Final

import numpy as np
from bench.pricing import jaeckel
from bench.pricing.peer_environment import Figure, measured
from bench.pricing.section import Run, Section, Target
from bench.pricing.timing import fastest_s, wall
from bench.pricing.workload import FloatArray, Options, options

from pricing.black76 import black76
from pricing.implied_vol import implied_vol

N: Final = 100_000
OURS: Final = "gammaflow"
TWO: Final = "gammaflow, 2 threads"
JAECKEL: Final = "Jäckel's C++, 2024"
LIMIT_NS: Final = 80.0


def section(run: Run) -> Section:
    """Measure ours and Jäckel's in this process, taking turns, the Python peers in one of their own."""
    o = options(N, out_of_the_money=True)
    value = black76(forward=o.forward, strike=o.strike, tau_years=o.tau_years, vol=o.vol, is_call=o.is_call)
    figures = _here(run, o, value.price)
    figures |= measured(run, "implied_vol", o, value.price, threads=1, repeats=run.repeats(5))
    rows = [
        [
            name,
            f"{one.seconds * 1e9:,.1f}",
            f"{one.seconds / figures[OURS].seconds:,.1f}×",
            f"{one.error:.1e}",
        ]
        for name, one in figures.items()
    ]
    return Section(
        title=f"Implied vol, ns per option ({N:,} out of the money)",
        columns=["contender", "ns", "over ours", "largest relative error"],
        rows=rows,
        targets=_targets(figures),
        notes=[
            "py_vollib and QuantLib-Python solve one option at a time and are timed on 2,000; QuantLib to 1e-12.",
            "Jäckel's C++ is built with `g++ -Ofast -march=native -ffp-contract=fast` and called once for the array.",
        ],
    )


def _here(run: Run, o: Options, price: FloatArray) -> dict[str, Figure]:
    def ours(threads: int) -> FloatArray:
        return implied_vol(
            price=price,
            forward=o.forward,
            strike=o.strike,
            tau_years=o.tau_years,
            is_call=o.is_call,
            threads=threads,
        ).vol

    calls, shared = {OURS: lambda: ours(1)}, {TWO: lambda: ours(2)}
    his = jaeckel.solver(run)
    if his is not None:
        calls[JAECKEL] = lambda: his(o, price)
    errors = {name: float(np.max(np.abs(call() / o.vol - 1.0))) for name, call in (calls | shared).items()}
    seconds = fastest_s(calls, run.repeats(15)) | fastest_s(shared, run.repeats(15), wall)
    return {name: Figure(seconds=seconds[name] / N, error=errors[name]) for name in errors}


def _targets(figures: dict[str, Figure]) -> list[Target]:
    ns = figures[OURS].seconds * 1e9
    reached = [Target(asked=f"implied vol, 1 thread ≤ {LIMIT_NS:g} ns", measured=f"{ns:.1f} ns", met=ns <= LIMIT_NS)]
    if JAECKEL in figures:
        ratio = figures[JAECKEL].seconds / figures[OURS].seconds
        asked = "faster than Jäckel's own C++"
        reached.append(Target(asked=asked, measured=f"{ratio:.1f} times as fast", met=ratio > 1.0))
    return reached
