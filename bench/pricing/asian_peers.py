"""QuantLib-Python's engines for discrete averages, run by the interpreter of the peers' environment.

``python -m bench.pricing.asian_peers`` reads a task as JSON from standard input and prints seconds a strike and prices
by engine. An engine that fails is left out, with a line on stderr.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench.pricing.peers import PACKAGES
from bench.pricing.section import Run
from bench.pricing.timing import fastest_s
from bench.stream.isolation import NoEnvironment, make
from bench.stream.roster import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A few strikes on an average over days: the first fixing on ``first_day``, one a day; ``vol`` per √year of 365."""

    strikes: list[float]
    is_call: list[bool]
    forward: float
    vol: float
    first_day: int
    n_fixings: int
    repeats: int


def measured(run: Run, task: Task) -> dict[str, dict[str, Any]]:
    """Return seconds a strike and prices by engine; nothing if the package cannot be had."""
    directory = run.directory / "peers"
    try:
        ready = directory / "bin" / "python"
        interpreter = str(ready) if ready.exists() else make(directory, PACKAGES)
    except NoEnvironment as error:
        run.say(str(error))
        return {}
    done = subprocess.run(
        [interpreter, "-m", "bench.pricing.asian_peers"],
        cwd=ROOT,
        env=os.environ.copy(),
        input=json.dumps(asdict(task)),
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stderr.splitlines():
        run.say(line)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    return found


def main() -> int:
    """Value the task with every engine there is."""
    import QuantLib as ql  # noqa: N813, PLC0415

    task = Task(**json.loads(sys.stdin.read()))
    process, options = _setup(ql, task)
    engines: dict[str, Callable[[], Any]] = {
        "Turnbull–Wakeman": lambda: ql.TurnbullWakemanAsianEngine(process),
        "Choi": lambda: ql.ChoiAsianEngine(process),
        "Monte Carlo + control variate, 1,023 paths": lambda: ql.MCDiscreteArithmeticAPEngine(
            process, "pseudorandom", False, False, True, 1023, None, None, 1
        ),
        "Sobol + control variate, 1,023 paths": lambda: ql.MCDiscreteArithmeticAPEngine(
            process, "lowdiscrepancy", False, False, True, 1023, None, None, 1
        ),
    }
    found = {}
    for name, make_engine in engines.items():
        try:

            def price(make_engine: Callable[[], Any] = make_engine) -> list[float]:
                prices = []
                for option in options:
                    option.setPricingEngine(make_engine())
                    prices.append(option.NPV())
                return prices

            seconds = fastest_s({name: price}, task.repeats)[name] / len(options)
            found[name] = {"seconds": seconds, "price": price()}
        except Exception as failed:  # noqa: BLE001 - whatever an engine does, the others have their turn
            print(f"{name}: {type(failed).__name__}: {failed}", file=sys.stderr)
    print(json.dumps(found))
    return 0


def _setup(ql: Any, task: Task) -> tuple[Any, list[Any]]:
    today = ql.Date(1, 1, 2024)
    ql.Settings.instance().evaluationDate = today
    days = ql.Actual365Fixed()
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, days))
    vol = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), task.vol, days))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(task.forward)), flat, flat, vol)
    fixings = [today + task.first_day + i for i in range(task.n_fixings)]
    options = [
        ql.DiscreteAveragingAsianOption(
            ql.Average.Arithmetic,
            0.0,
            0,
            fixings,
            ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, strike),
            ql.EuropeanExercise(fixings[-1]),
        )
        for strike, call in zip(task.strikes, task.is_call, strict=True)
    ]
    return process, options


if __name__ == "__main__":
    sys.exit(main())
