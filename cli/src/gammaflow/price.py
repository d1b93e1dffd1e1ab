"""``price``: options of a CSV file, valued by a model of the pricing library."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gammaflow import price_asian, price_black76
from gammaflow.interface import Command
from gammaflow.option_csv import Answers, BoolArray, Column, FloatArray, read, write


@dataclass(frozen=True, slots=True)
class Model:
    """A model: the number columns it needs, and its answers for the good rows (shape (m,) each, by column name)."""

    columns: Sequence[Column]
    evaluate: Callable[[BoolArray, Mapping[str, FloatArray]], Answers]


MODELS: Final[Mapping[str, Model]] = {
    "black76": Model(price_black76.COLUMNS, price_black76.evaluate),
    "asian": Model(price_asian.COLUMNS, price_asian.evaluate),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model and files."""
    parser.add_argument("--model", choices=sorted(MODELS), default="black76", help="default: black76")
    parser.add_argument(
        "--in", dest="input", type=Path, required=True, help=f"CSV: option_type and, {columns_in_words()}"
    )
    parser.add_argument(
        "--out", dest="output", type=Path, required=True, help="CSV: the same rows, their values, and a status for each"
    )


def columns_in_words() -> str:
    """Return the columns of every model; those in brackets may be left out."""
    models = []
    for name, model in sorted(MODELS.items()):
        columns = [column.name if column.default is None else f"[{column.name}]" for column in model.columns]
        models.append(f"for {name}, {', '.join(columns)}")
    return "; ".join(models)


def run(args: argparse.Namespace) -> int:
    """Value every row; one that cannot be valued says why in its status."""
    model = MODELS[args.model]
    table = read(args.input, model.columns)
    good = table.good
    answers = model.evaluate(table.is_call[good], {name: values[good] for name, values in table.numbers.items()})
    write(args.output, table, answers)
    return 0


COMMAND = Command("price", "value the options of a CSV file: price and greeks", add_arguments, run)
