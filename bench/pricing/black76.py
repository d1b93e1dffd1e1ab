"""Section: Black-76 price and eleven greeks."""

from bench.pricing.numpy_black76 import numpy_black76
from bench.pricing.section import Run, Section
from bench.pricing.timing import fastest_s
from bench.pricing.workload import options

from pricing.black76 import black76

SIZES = (10_000, 1_000_000)


def section(run: Run) -> Section:
    rows: dict[str, list[str]] = {}
    for n in SIZES:
        o = options(n)
        seconds = fastest_s(
            {
                "gammaflow": lambda o=o: black76(
                    forward=o.forward, strike=o.strike, tau_years=o.tau_years, vol=o.vol, is_call=o.is_call
                ),
                "numpy + scipy ndtr": lambda o=o: numpy_black76(o),
            },
            run.repeats(15),
        )
        for name, one in seconds.items():
            rows.setdefault(name, [name]).extend((f"{one / n * 1e9:.1f}", f"{one / seconds['gammaflow']:.1f}×"))
    columns = ["contender", *(text for n in SIZES for text in (f"ns per option, {n:,}", "of ours"))]
    return Section(title="Black-76: price and eleven greeks", columns=columns, rows=list(rows.values()))
