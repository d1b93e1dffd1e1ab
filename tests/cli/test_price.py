"""``./run price`` and ``./run implied-vol``: a value or a reason in every row, and one clear line for a bad file."""

import csv
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from gammaflow.__main__ import main
from pricing.black76 import Black76, black76

HEADER = "option_type,forward,strike,tau_years,vol,rate"
GREEKS = [field.name for field in fields(Black76)]


def call(tmp_path: Path, command: Sequence[str], text: str) -> list[dict[str, str]]:
    """Run a command on a file with this text and return the rows of what it wrote."""
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(text, encoding="utf-8")
    assert main([*command, "--in", str(source), "--out", str(target)]) == 0
    with target.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, command: str = "price") -> str:
    """Run a command that must end with exit code 2 and return its one line."""
    source = tmp_path / "in.csv"
    if text is not None:
        source.write_text(text, encoding="utf-8")
    assert main([command, "--in", str(source), "--out", str(tmp_path / "out.csv")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_every_option_gets_its_price_and_greeks_to_the_last_digit(tmp_path: Path) -> None:
    text = f"{HEADER}\ncall,100,110,1,0.2,0\nput,64123.5,60000,0.02,0.55,0.03\nC,100,110,0,0.2,\n"
    rows = call(tmp_path, ["price", "--model", "black76"], text)
    assert list(rows[0]) == [*HEADER.split(","), *GREEKS, "status"]
    expected = black76(forward=64123.5, strike=60000, tau_years=0.02, vol=0.55, is_call=False, rate=0.03)
    for name in GREEKS:
        assert float(rows[1][name]) == float(getattr(expected, name)), name
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert float(rows[2]["price"]) == 0.0


def test_the_rate_may_be_left_out_and_other_columns_stay(tmp_path: Path) -> None:
    rows = call(tmp_path, ["price"], 'note,option_type,vol,tau_years,strike,forward\n"a, b",put,0.2,1,110,100\n')
    assert rows[0]["note"] == "a, b"
    assert float(rows[0]["rho"]) == -float(rows[0]["price"])


BAD_ROWS = {
    "call,0,110,1,0.2,0": "bad_input: forward = 0 is not a finite number > 0",
    "call,100,-1,1,0.2,0": "bad_input: strike = -1 is not a finite number > 0",
    "call,100,110,-1,0.2,0": "bad_input: tau_years = -1 is not a finite number >= 0",
    "call,100,110,1,inf,0": "bad_input: vol = inf is not a finite number >= 0",
    "call,100,110,1,,0": "bad_input: vol = '' is not a finite number >= 0",
    "call,100,110,1,0.2,x": "bad_input: rate = 'x' is not a finite number",
    "straddle,100,110,1,0.2,0": "bad_input: option_type = 'straddle' is not call or put",
    "call,100,110": "bad_input: 3 cells where the first line has 6",
    "call,100,110,1,0.2,0,7": "bad_input: 7 cells where the first line has 6",
    "call,1e-310,110,1,0.2,0": "bad_input: forward = 1e-310 is not a finite number > 0",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_says_why_and_the_others_are_priced(tmp_path: Path, row: str) -> None:
    good = "call,100,110,1,0.2,0"
    rows = call(tmp_path, ["price"], f"{HEADER}\n{good}\n{row}\n{good}\n")
    assert [line["status"] for line in rows] == ["ok", BAD_ROWS[row], "ok"]
    assert all(rows[1][name] == "" for name in GREEKS)
    assert rows[0] == rows[2]


IMPLIED = {
    "call,100,110,1,4.292010941409889,0": "ok",
    "call,100,90,1,9,0": "below_intrinsic",
    "call,100,90,1,10,0": "at_intrinsic",
    "put,100,90,1,95,0": "above_maximum",
    "put,100,90,1,,0": "no_quote",
    "put,100,90,1,nan,0": "no_quote",
    "put,100,90,0,1,0": "expired",
    "put,100,90,-1,1,0": "expired",
    "put,100,x,1,1,0": "bad_input: strike = 'x' is not a finite number > 0",
}


def test_implied_vols_and_reasons(tmp_path: Path) -> None:
    header = "option_type,forward,strike,tau_years,price,rate"
    rows = call(tmp_path, ["implied-vol"], "\n".join([header, *IMPLIED]) + "\n")
    assert [row["status"] for row in rows] == list(IMPLIED.values())
    assert float(rows[0]["implied_vol"]) == pytest.approx(0.2, rel=1e-15)
    assert all(row["implied_vol"] == "" for row in rows[1:])


def test_prices_and_implied_vols_undo_each_other(tmp_path: Path) -> None:
    vols = [0.05 + 0.01 * i for i in range(100)]
    options = "".join(f"put,100,{80 + i % 40},0.3,{vol!r},0.02\n" for i, vol in enumerate(vols))
    priced = call(tmp_path, ["price"], f"{HEADER}\n{options}")
    back = "".join(
        f"{row['option_type']},{row['forward']},{row['strike']},{row['tau_years']},{row['price']},{row['rate']}\n"
        for row in priced
    )
    solved = call(tmp_path, ["implied-vol"], f"option_type,forward,strike,tau_years,price,rate\n{back}")
    assert [float(row["implied_vol"]) for row in solved] == pytest.approx(vols, rel=1e-9)


def test_a_table_without_rows_stays_without_rows(tmp_path: Path) -> None:
    assert call(tmp_path, ["price"], f"{HEADER}\n") == []


BAD_FILES = {
    "no file": (None, "cannot read"),
    "empty file": ("", "is empty: its first line must name the columns"),
    "no vol": ("option_type,forward,strike,tau_years\n", "has no column vol"),
    "a column twice": (f"{HEADER},vol\n", "more than one column 'vol'"),
    "an output among the inputs": (f"{HEADER},delta\ncall,100,110,1,0.2,0,1\n", "already has a column 'delta'"),
    "not a CSV file": (f'{HEADER}\n"{"x" * 200_000}"\n', "is not a CSV file"),
}


@pytest.mark.parametrize("mistake", BAD_FILES)
def test_a_bad_file_gets_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mistake: str
) -> None:
    text, expected = BAD_FILES[mistake]
    line = refused(tmp_path, capsys, text)
    assert line.startswith("gammaflow: ")
    assert expected in line


def test_a_file_that_is_not_text_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.csv").write_bytes(b"\xff\xfe\x00\x81")
    assert "not a CSV file in UTF-8" in refused(tmp_path, capsys, None, "implied-vol")


def test_a_folder_that_does_not_exist_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.csv"
    source.write_text(f"{HEADER}\n", encoding="utf-8")
    assert main(["price", "--in", str(source), "--out", str(tmp_path / "none" / "out.csv")]) == 2
    assert "cannot write" in capsys.readouterr().err
