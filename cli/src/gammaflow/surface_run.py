"""What ``./run surface`` does: read a chain, fit it, write the surface and perhaps a picture."""

import argparse
import json
from pathlib import Path

from gammaflow import surface_json
from gammaflow.errors import UserError
from gammaflow.surface_chain import read_chain
from pricing.surface.build import Surface, build_surface
from pricing.surface.options import QuoteFilter


def run(args: argparse.Namespace) -> int:
    """Read, fit, write; a surface that cannot be certified is written as failed and exits with 1."""
    try:
        chosen = QuoteFilter(max_age_s=args.max_age_s, min_size=args.min_size)
    except ValueError as error:
        raise UserError(str(error)) from error
    chains, rejected = read_chain(args.input, at=args.at)
    if args.underlying is not None:
        names = [read.underlying for read in chains]
        chains = [read for read in chains if read.underlying == args.underlying]
        if not chains:
            raise UserError(f"--underlying {args.underlying} is not in {args.input}: it has {', '.join(names)}")
    surfaces = [(read, build_surface(read.chains, quote_filter=chosen)) for read in chains]
    text = json.dumps(surface_json.document(surfaces, rejected), indent=1, allow_nan=False)
    write(args.output, text)
    for read, surface in surfaces:
        print(summary(read.underlying, surface))
    if args.plot is not None:
        # Imported here: a picture is rarely asked for and its library takes longer to load than a fit.
        from gammaflow.surface_plot import plot  # noqa: PLC0415

        plot(surfaces, args.plot)
    return 0 if all(surface.status == "ok" for _, surface in surfaces) else 1


def write(path: Path, text: str) -> None:
    """Write a text file; what stops it is said in one line."""
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; give a place that can be written") from error


def summary(underlying: str, surface: Surface) -> str:
    """One line: how many expiries and quotes, how many of them inside."""
    fits = [one.certificate.fit for one in surface.expiries if one.certificate is not None and one.certificate.fit]
    quotes = sum(fit.n_quotes for fit in fits)
    outside = sum(fit.n_outside for fit in fits)
    fitted = sum(one.smile is not None for one in surface.expiries)
    return (
        f"{underlying}: {surface.status}, {fitted} of {len(surface.expiries)} expiries, "
        f"{quotes - outside} of {quotes} quotes inside bid–ask"
    )
