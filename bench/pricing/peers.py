"""``python -m bench.pricing.peers black76|implied_vol <data.npz> <repeats>``: packages that are no dependencies here.

Runs under the interpreter of an environment made for the run, with NUMBA_NUM_THREADS set; prints one JSON object: by
contender, seconds per option and the largest error against the right values. A package that is missing or fails is left
out, with a line on stderr.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from bench.pricing.timing import fastest_s, processor, wall

Array = npt.NDArray[np.float64]
Data = Mapping[str, npt.NDArray[np.generic]]
Contender = tuple[Callable[[], Array], int]

PACKAGES: Final = ("fast-vollib==0.2.4", "py_vollib==1.0.1", "QuantLib==1.44", "numba>=0.61", "scipy>=1.15")
SCALAR_LOOP: Final = 2_000
"""Options a contender gets that prices one at a time."""
ACCURACY: Final = 1e-12


def fast_vollib_black76(data: Data, backend: str) -> Contender:
    from fast_vollib import fast_black, get_all_greeks  # noqa: PLC0415

    F, K, T, sigma = (data[name] for name in ("forward", "strike", "tau_years", "vol"))
    flags = np.where(data["is_call"], "c", "p")
    rate = np.zeros(F.size)

    def price_and_greeks() -> Array:
        price = fast_black(flags, F, K, T, rate, sigma, return_as="numpy", backend=backend)
        get_all_greeks(flags, F, K, T, rate, sigma, model="black", return_as="dict", backend=backend)
        return np.asarray(price, dtype=np.float64).ravel()

    return price_and_greeks, F.size


def py_vollib_black76(data: Data) -> Contender:
    from py_vollib.black import black  # noqa: PLC0415
    from py_vollib.black.greeks import analytical as greeks  # noqa: PLC0415

    rows = _rows(data)
    of = (greeks.delta, greeks.gamma, greeks.vega, greeks.theta, greeks.rho)

    def price_and_greeks() -> Array:
        prices = []
        for flag, F, K, T, sigma, _price in rows:
            prices.append(black(flag, F, K, T, 0.0, sigma))
            for greek in of:
                greek(flag, F, K, T, 0.0, sigma)
        return np.array(prices)

    return price_and_greeks, len(rows)


def quantlib_black76(data: Data) -> Contender:
    import QuantLib as ql  # noqa: N813, PLC0415

    rows = _rows(data)
    kinds = {"c": ql.Option.Call, "p": ql.Option.Put}

    def price_and_greeks() -> Array:
        prices = []
        for flag, F, K, T, sigma, _price in rows:
            c = ql.BlackCalculator(ql.PlainVanillaPayoff(kinds[flag], K), F, sigma * T**0.5)
            prices.append(c.value())
            _ = c.deltaForward(), c.gammaForward(), c.vega(T), c.theta(F, T), c.rho(T)
        return np.array(prices)

    return price_and_greeks, len(rows)


def fast_vollib_jaeckel(data: Data) -> Contender:
    from fast_vollib.jackel import jackel_iv_black  # noqa: PLC0415

    price, F, K, T, call = (data[name] for name in ("price", "forward", "strike", "tau_years", "is_call"))
    return lambda: np.asarray(jackel_iv_black(price, F, K, T, call)), F.size


def py_vollib_implied_vol(data: Data) -> Contender:
    from py_vollib.black.implied_volatility import implied_volatility  # noqa: PLC0415

    rows = _rows(data)
    return lambda: np.array([implied_volatility(p, F, K, 0.0, T, flag) for flag, F, K, T, _, p in rows]), len(rows)


def quantlib_implied_vol(data: Data) -> Contender:
    import QuantLib as ql  # noqa: N813, PLC0415

    rows = _rows(data)
    kinds = {"c": ql.Option.Call, "p": ql.Option.Put}

    def solve() -> Array:
        deviations = [
            ql.blackFormulaImpliedStdDev(kinds[flag], K, F, p, 1.0, 0.0, ql.nullDouble(), ACCURACY, 200) / T**0.5
            for flag, F, K, T, _, p in rows
        ]
        return np.array(deviations)

    return solve, len(rows)


TASKS: Final[Mapping[str, Mapping[str, Callable[[Data], Contender]]]] = {
    "black76": {
        "fast-vollib, numba": lambda data: fast_vollib_black76(data, "numba"),
        "fast-vollib, numpy": lambda data: fast_vollib_black76(data, "numpy"),
        "py_vollib": py_vollib_black76,
        "QuantLib-Python": quantlib_black76,
    },
    "implied_vol": {
        "fast-vollib.jackel": fast_vollib_jaeckel,
        "py_vollib": py_vollib_implied_vol,
        "QuantLib-Python": quantlib_implied_vol,
    },
}


def main(arguments: Sequence[str]) -> int:
    task, path, repeats = arguments[0], Path(arguments[1]), int(arguments[2])
    with np.load(path) as file:
        data = dict(file)
    right = data["price"] if task == "black76" else data["vol"]
    scale = data["forward"] if task == "black76" else data["vol"]
    clock = processor if os.environ["NUMBA_NUM_THREADS"] == "1" else wall
    found = {}
    for name, make in TASKS[task].items():
        try:
            call, n = make(data)
            error = float(np.max(np.abs(call() - right[:n]) / scale[:n]))
            found[name] = {"seconds": fastest_s({name: call}, repeats, clock)[name] / n, "error": error}
        except Exception as failed:  # noqa: BLE001 - whatever a peer does, the others have their turn
            print(f"{name}: {type(failed).__name__}: {failed}", file=sys.stderr)
    print(json.dumps(found))
    return 0


def _rows(data: Data) -> list[tuple[str, float, float, float, float, float]]:
    flags = np.where(data["is_call"][:SCALAR_LOOP], "c", "p").tolist()
    names = ("forward", "strike", "tau_years", "vol", "price")
    return list(zip(flags, *(data[name][:SCALAR_LOOP].tolist() for name in names), strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
