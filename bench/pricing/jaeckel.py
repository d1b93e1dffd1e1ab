"""Peter Jäckel's own C++ of "Let's Be Rational" (2024), built for the run: the crate ``implied-vol`` has it."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from bench.pricing.section import Run
from bench.pricing.workload import FloatArray, Options

CRATE: Final = "implied-vol@2.1.0"
FLAGS: Final = ("-Ofast", "-DNDEBUG", "-march=native", "-ffp-contract=fast", "-std=c++20", "-w", "-shared", "-fPIC")
SOURCES: Final = ("lets_be_rational.cpp", "normaldistribution.cpp", "rationalcubic.cpp", "erf_cody.cpp")
_LOOP: Final = """\
#include "lets_be_rational.h"
extern "C" void solve(long n, const double* price, const double* F, const double* K, const double* T, const double* q,
                      double* vol) {
  for (long i = 0; i < n; ++i) vol[i] = ImpliedBlackVolatility(price[i], F[i], K[i], T[i], q[i]);
}
"""


def solver(run: Run) -> Callable[[Options, FloatArray], FloatArray] | None:
    """Return his solver, or None with a line on why it cannot be built here."""
    if shutil.which("cargo") is None or shutil.which("g++") is None:
        run.say("Jäckel's C++ is left out: it needs cargo and g++")
        return None
    try:
        library = ctypes.CDLL(str(_build(run.directory / "jaeckel")))
    except (subprocess.CalledProcessError, OSError) as error:
        run.say(f"Jäckel's C++ is left out: {error}")
        return None
    library.solve.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 6

    def solve(o: Options, price: FloatArray) -> FloatArray:
        vol, sign = np.empty(price.size), np.where(o.is_call, 1.0, -1.0)
        arrays = (price, o.forward, o.strike, o.tau_years, sign, vol)
        library.solve(price.size, *(array.ctypes.data for array in arrays))
        return vol

    return solve


def _build(directory: Path) -> Path:
    directory.mkdir()
    for command in (
        ["cargo", "init", "--quiet", "--lib", "--name", "jaeckel"],
        ["cargo", "add", "--quiet", CRATE],
        ["cargo", "vendor", "--quiet", "vendor"],
    ):
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
    (directory / "loop.cpp").write_text(_LOOP, encoding="utf-8")
    source = directory / "vendor" / "implied-vol" / "source"
    library = directory / "jaeckel.so"
    files = ["loop.cpp", *(str(source / name) for name in SOURCES)]
    command = ["g++", *FLAGS, f"-I{source}", *files, "-o", str(library)]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return library
