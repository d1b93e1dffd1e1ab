"""``python -m bench.pricing [section …]``: the pricing library and its peers, the same inputs, in one run."""

import argparse
import datetime as dt
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before the first import of numpy

from bench.pricing.report import Conditions, page, table  # noqa: E402
from bench.pricing.section import NAMES, Run, Section  # noqa: E402
from bench.stream import machine  # noqa: E402

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "bench-pricing.md"
PACKAGES: Final = ("numpy", "scipy", "numba")


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write the page if all sections were run; returns 0, whatever the figures are."""
    options = _options(arguments)
    sections, others = [], []
    with tempfile.TemporaryDirectory(prefix="gammaflow-bench-", ignore_cleanup_errors=True) as home:
        run = Run(quick=options.quick, directory=Path(home), say=_say)
        for name in options.sections:
            _say(f"section {name}")
            meter = machine.Others(())
            sections.append(_measure(name)(run))
            others.append(meter.share() or 0.0)
            print(table(sections[-1]), end="\n\n", flush=True)
    if options.output is not None:
        options.output.write_text(page(sections, _conditions(arguments, others)), encoding="utf-8")
    return 0


def _measure(name: str) -> Callable[[Run], Section]:
    measure: Callable[[Run], Section] = importlib.import_module(f"bench.pricing.{name}").section
    return measure


def _conditions(arguments: Sequence[str], others: Sequence[float]) -> Conditions:
    return Conditions(
        machine=machine.description(PACKAGES),
        commit=machine.commit(),
        command=" ".join(["./run bench pricing", *arguments]),
        date=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        others=others,
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench pricing", description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"some of: {', '.join(NAMES)}; default: all, and the page")
    parser.add_argument("--quick", action="store_true", help="a smoke run; no page unless --output is given")
    parser.add_argument("--output", type=Path, help="page to write; default: docs/reference/bench-pricing.md")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.sections) - set(NAMES))
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such section; take some of {', '.join(NAMES)}")
    if options.output is None and not options.sections and not options.quick:
        options.output = PAGE
    options.sections = options.sections or list(NAMES)
    return options


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
