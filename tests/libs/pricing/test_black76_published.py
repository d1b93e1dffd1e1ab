"""Black-76 against published values and a 25-digit table kept beside the project."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pricing.black76 import Black76, black76

pytestmark = pytest.mark.shared_data

TOLERANCE = 1e-12


@pytest.fixture
def table(shared_data: Path) -> dict[str, np.ndarray]:
    with (shared_data.parent / "reference" / "black76_mpmath.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "id"}
    return columns | {"id": np.array([row["id"] for row in rows])}


def priced(table: dict[str, np.ndarray], side: str) -> Black76:
    return black76(
        forward=table["F"],
        strike=table["K"],
        tau_years=table["T"],
        vol=table["sigma"],
        is_call=side == "call",
        rate=table["r"],
    )


def natural_size(table: dict[str, np.ndarray], field: str, side: str) -> np.ndarray:
    """Size of what a greek is a derivative of: those that change sign have no relative error at their zero."""
    F, T, sigma = table["F"], table["T"], table["sigma"]
    sizes = {
        "vanna_per_unit_vol": table["vega"] / F,
        "volga_per_unit_vol2": table["vega"] / sigma,
        "charm_per_year": np.abs(table[f"delta_{side}"]) / T,
        "speed": table["gamma"] / (F * sigma * np.sqrt(T)),
        "color_per_year": table["gamma"] / T,
    }
    return sizes.get(field, np.zeros_like(F))


@pytest.mark.parametrize("side", ["call", "put"])
@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("price", "{side}"),
        ("delta", "delta_{side}"),
        ("gamma", "gamma"),
        ("vega_per_unit_vol", "vega"),
        ("theta_per_year", "theta_{side}"),
        ("rho", "rho_{side}"),
        ("vanna_per_unit_vol", "vanna"),
        ("volga_per_unit_vol2", "volga"),
        ("charm_per_year", "charm_{side}"),
        ("speed", "speed"),
        ("color_per_year", "color"),
    ],
)
def test_agrees_with_25_digits_to_1e_12_of_the_natural_scale(
    table: dict[str, np.ndarray], field: str, column: str, side: str
) -> None:
    expected = table[column.format(side=side)]
    error = np.abs(getattr(priced(table, side), field) - expected) / (
        np.abs(expected) + natural_size(table, field, side) + np.finfo(float).tiny
    )
    worst = int(np.argmax(error))
    assert error[worst] <= TOLERANCE, f"{table['id'][worst]}: {error[worst]:.2e}"


def published(shared_data: Path, *kinds: str) -> list[dict]:
    values = json.loads((shared_data.parent / "reference" / "reference_values.json").read_text())["values"]
    return [value for value in values if value["kind"] in kinds]


def test_prices_agree_with_published_values(shared_data: Path) -> None:
    """Haug (1998) pp. 2-8, 24, 27 and QuantLib's Black-76 tables."""
    cases = published(shared_data, "european_price", "black76_price")
    assert len(cases) > 50
    for case in cases:
        inputs = case["inputs"]
        tau = inputs.get("T", 1.0)
        value = black76(
            forward=inputs["F"],
            strike=inputs["K"],
            tau_years=tau,
            vol=inputs["sigma"] if "sigma" in inputs else inputs["stddev"] / np.sqrt(tau),
            is_call=inputs["type"] == "call",
        )
        assert float(value.price) * inputs["df"] == pytest.approx(case["expected"], abs=case["tolerance"]), case["id"]


def test_delta_agrees_with_haugs_table(shared_data: Path) -> None:
    """Haug (1998) pp. 11-16: an option on a future, so spot and forward greeks are one."""
    (case,) = published(shared_data, "european_greek_delta")
    inputs = case["inputs"]
    value = black76(
        forward=inputs["F"],
        strike=inputs["K"],
        tau_years=inputs["T"],
        vol=inputs["sigma"],
        is_call=inputs["type"] == "call",
        rate=inputs["r"],
    )
    assert float(value.delta) == pytest.approx(case["own_mpmath"], rel=1e-10)
