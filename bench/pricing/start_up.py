"""Section: what a fresh process waits for, with the kernels on disk."""

import os
import subprocess
import sys
from typing import Final

from bench.pricing.section import Run, Section, Target

CASES: Final = {
    "import numpy": ("import numpy", "pass"),
    "import pricing.black76": ("import pricing.black76", "pass"),
    "first black76 call": (
        "from pricing.black76 import black76",
        "black76(forward=1.0, strike=1.0, tau_years=1.0, vol=1.0, is_call=True)",
    ),
    "first implied_vol call": (
        "from pricing.implied_vol import implied_vol",
        "implied_vol(price=0.3, forward=1.0, strike=1.0, tau_years=1.0, is_call=True)",
    ),
    "first spot grid": (
        "from pricing.spot_grid import gamma_sums_on_spots as g",
        "g(spots=[1.0], spot=1.0, forward=[1.0], strike=[1.0], tau_years=[1.0], vol=[1.0], weights=[1.0])",
    ),
}
IMPORT_LIMIT_S: Final = 0.5
CALL_LIMIT_S: Final = 1.0


def section(run: Run) -> Section:
    """Start processes, one at a time; the first of each, which may compile and write bytecode, is not counted."""
    seconds = {name: _fastest(*case, run.repeats(7)) for name, case in CASES.items()}
    slowest = max(call for _, call in seconds.values())
    imported = seconds["import pricing.black76"][0]
    return Section(
        title="Start-up: a fresh process, kernels cached on disk",
        columns=["what", "import, s", "first call, s"],
        rows=[[name, f"{load:.2f}", f"{call:.2f}"] for name, (load, call) in seconds.items()],
        targets=[
            Target(
                asked=f"import of pricing < {IMPORT_LIMIT_S:g} s",
                measured=f"{imported:.2f} s, numpy included",
                met=imported < IMPORT_LIMIT_S,
            ),
            Target(
                asked=f"first call after a restart < {CALL_LIMIT_S:g} s",
                measured=f"{slowest:.2f} s at most",
                met=slowest < CALL_LIMIT_S,
            ),
        ],
        notes=["Nearly all of a first call is numba's own import. The modules' bytecode is on disk, too."],
    )


def _fastest(load: str, call: str, repeats: int) -> tuple[float, float]:
    clock = "__import__('time').perf_counter()"
    script = f"a = {clock}\n{load}\nb = {clock}\n{call}\nc = {clock}\nprint(b - a, c - b)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for _ in range(repeats + 1):
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        times.append(tuple(float(text) for text in done.stdout.split()))
    return min(load for load, _ in times[1:]), min(call for _, call in times[1:])
