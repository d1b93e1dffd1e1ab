"""``settle effect``: the table of the settlement effect, and its copy and picture in the documentation."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gammaflow.errors import UserError
from gammaflow.paths import ROOT
from gammaflow.settle_picture import picture
from pricing.asian.averaging import DERIBIT_FIXINGS, DERIBIT_WINDOW_MINUTES
from pricing.asian.effect import Effect, settlement_effect

DOCUMENTED_VOL: Final = 0.7
TIMES: Final = {
    "7 d": 10_080.0,
    "1 d": 1440.0,
    "12 h": 720.0,
    "6 h": 360.0,
    "2 h": 120.0,
    "1 h": 60.0,
    "45 min": 45.0,
    "30 min": 30.0,
    "25 min": 25.0,
    "20 min": 20.0,
    "17.3 min": 17.3,
    "15 min": 15.0,
    "10 min": 10.0,
    "5 min": 5.0,
    "2 min": 2.0,
    "1 min": 1.0,
}
SCORES: Final = (-2.0, -1.0, 1.0, 2.0)
PAGE: Final = ROOT / "docs" / "explanation" / "settlement.md"
PICTURE: Final = ROOT / "docs" / "explanation" / "settlement-effect.svg"
BEGIN: Final = "<!-- written by ./run settle effect --write -->"
END: Final = "<!-- end -->"
_COLUMNS: Final = (
    "before expiry",
    "price",
    "delta",
    "gamma",
    "Curran",
    "two moments",
    "law",
    "gamma −2 sd",
    "−1 sd",
    "+1 sd",
    "+2 sd",
    "same-price vol",
    "its gamma",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Terms of the average, and what to do with the documentation."""
    parser.add_argument("--vol", type=float, default=DOCUMENTED_VOL, help="of the index; default: %(default)g")
    parser.add_argument("--window-minutes", type=float, default=DERIBIT_WINDOW_MINUTES, help="default: %(default)g")
    parser.add_argument("--fixings", type=int, default=DERIBIT_FIXINGS, help="default: %(default)d")
    documents = parser.add_mutually_exclusive_group()
    documents.add_argument("--write", action="store_true", help="renew the table and the picture in docs/")
    documents.add_argument("--check", action="store_true", help="exit code 1 if they differ from what is computed")


def run(args: argparse.Namespace) -> int:
    """Print the table; with ``--write`` or ``--check`` turn to the documentation."""
    if (args.write or args.check) and not _is_documented(args):
        raise UserError("the documentation is written on Deribit's terms: leave out --vol, --window-minutes, --fixings")
    effects = effects_of(vol=args.vol, window_minutes=args.window_minutes, n_fixings=args.fixings)
    if not (args.write or args.check):
        print(table(effects))
        return 0
    wanted = {PAGE: page_with(PAGE.read_text(encoding="utf-8"), table(effects)), PICTURE: picture(effects)}
    if args.write:
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
        return 0
    return _check(wanted)


def effects_of(*, vol: float, window_minutes: float, n_fixings: int) -> list[Effect]:
    """Return the effect at all times. Raises UserError for terms that no average has."""
    try:
        return [
            settlement_effect(
                minutes=minutes, vol=vol, window_minutes=window_minutes, n_fixings=n_fixings, scores=SCORES
            )
            for minutes in TIMES.values()
        ]
    except ValueError as error:
        raise UserError(str(error)) from error


def table(effects: Sequence[Effect]) -> str:
    """Return the table as Markdown: all but the vols are ratios, average over European."""
    lines = [_line(_COLUMNS), "|---" + "|---:" * (len(_COLUMNS) - 1) + "|"]
    lines += [_line(_cells(name, effect)) for name, effect in zip(TIMES, effects, strict=True)]
    return "\n".join(lines)


def page_with(page: str, written: str) -> str:
    """Return the page with what stands between the marks replaced. Raises UserError if it has lost its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{PAGE.name} has lost its marks: put {BEGIN} and {END} around the table")
    return f"{before}{BEGIN}\n\n{written}\n\n{END}{after}"


def _cells(name: str, effect: Effect) -> list[str]:
    gammas = [effect.gamma, effect.gamma_curran, effect.gamma_two_moments, effect.gamma_law, *effect.gamma_wings]
    same_price_gamma = math.nan
    if effect.same_price_gamma_wings.size:
        same_price_gamma = float(effect.same_price_gamma_wings[-1])
    ratios = [effect.price, effect.delta, *gammas, effect.same_price_vol, same_price_gamma]
    return [name, *("" if math.isnan(ratio) else f"{ratio:.4f}" for ratio in ratios)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _is_documented(args: argparse.Namespace) -> bool:
    terms = (args.vol, args.window_minutes, args.fixings)
    return terms == (DOCUMENTED_VOL, DERIBIT_WINDOW_MINUTES, DERIBIT_FIXINGS)


def _check(wanted: dict[Path, str]) -> int:
    stale = [
        path.name for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if stale:
        print(f"{', '.join(stale)}: not what is computed; ./run settle effect --write", file=sys.stderr)
    return 1 if stale else 0
