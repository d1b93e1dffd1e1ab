"""Section: dealer gamma of a book on a grid of spots, GEX(S)."""

from typing import Final

import numpy as np
from bench.pricing.section import Run, Section, Target
from bench.pricing.timing import fastest_s, wall
from bench.pricing.workload import FloatArray, Options, options

from pricing.spot_grid import gamma_sums_on_spots, gamma_vanna_on_spots

N_OPTIONS: Final = 1_500
N_SPOTS: Final = 401
SPOT: Final = 1e5
ONE: Final = "gammaflow, 1 thread"
TWO: Final = "gammaflow, 2 threads"
NUMPY: Final = "numpy, broadcast"
MATRICES: Final = "gammaflow, matrices of gamma and vanna, 1 thread"
LIMIT_MS: Final = 1.0


def section(run: Run) -> Section:
    """Measure the sums with both numbers of threads and in numpy, and the matrices the service keeps."""
    o, spots = options(N_OPTIONS), np.linspace(0.6 * SPOT, 1.4 * SPOT, N_SPOTS)
    book = np.random.default_rng(0).normal(size=N_OPTIONS)
    chain = {"forward": o.forward, "strike": o.strike, "tau_years": o.tau_years, "vol": o.vol}

    def sums(threads: int) -> FloatArray:
        return gamma_sums_on_spots(spots=spots, spot=SPOT, weights=book, threads=threads, **chain)

    expected = numpy_sums(o, spots, book)
    worst = float(np.max(np.abs(sums(2) - expected)) / np.max(np.abs(expected)))
    seconds = fastest_s({TWO: lambda: sums(2)}, run.repeats(51), wall) | fastest_s(
        {
            ONE: lambda: sums(1),
            NUMPY: lambda: numpy_sums(o, spots, book),
            MATRICES: lambda: gamma_vanna_on_spots(spots=spots, spot=SPOT, **chain),
        },
        run.repeats(51),
    )
    ms = seconds[TWO] * 1e3
    asked = f"{N_OPTIONS:,} options × {N_SPOTS} spots on 2 threads ≤ {LIMIT_MS:g} ms"
    return Section(
        title=f"Gamma grid: {N_OPTIONS:,} options × {N_SPOTS} spots",
        columns=["contender", "ms", "over ours", "ns per gamma"],
        rows=[
            [name, f"{s * 1e3:.2f}", f"{s / seconds[TWO]:.1f}×", f"{s / (N_OPTIONS * N_SPOTS) * 1e9:.2f}"]
            for name, s in seconds.items()
        ],
        targets=[Target(asked=asked, measured=f"{ms:.2f} ms", met=ms <= LIMIT_MS)],
        notes=[f"Sums agree with numpy's within {worst:.0e} of the largest."],
    )


def numpy_sums(o: Options, spots: FloatArray, book: FloatArray) -> FloatArray:
    """Σ book·Γ at each spot in plain numpy."""
    s = o.vol * np.sqrt(o.tau_years)
    forwards = spots[:, None] * (o.forward / SPOT)
    d1 = np.log(forwards / o.strike) / s + 0.5 * s
    sums: FloatArray = (np.exp(-0.5 * d1 * d1) / forwards) @ (book * 0.3989422804014327 / s)
    return sums
