"""`./run price --model asian`: rows of any averages, each answered on its own."""

import csv
from pathlib import Path

import pytest

from gammaflow.__main__ import main
from pricing.asian.rqmc import rqmc

MINUTE = 1 / 525_600


def priced(tmp_path: Path, text: str) -> list[dict[str, str]]:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(text)
    assert main(["price", "--model", "asian", "--in", str(source), "--out", str(target)]) == 0
    with target.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.shared_data
def test_every_row_of_the_table_in_one_file(tmp_path: Path, shared_data: Path) -> None:
    """Price, delta and gamma to 1e-6, each within four of its standard errors; the rows of the input come back."""
    with (shared_data.parent / "reference" / "asian_reference.csv").open() as file:
        references = list(csv.DictReader(file))
    lines = ["name,option_type,forward,strike,tau_years,vol,window_minutes,n_fixings,n_past,past_average"]
    for row in references:
        window, tau = float(row["dt_min"]) * int(row["n_fixings"]), float(row["T_min"]) * MINUTE
        terms = [row["F"], row["K"], repr(tau), row["sigma"], repr(window), row["n_fixings"], row["n_past"]]
        lines.append(",".join([row["id"], "call", *terms, row["past_avg"]]))
    answers = priced(tmp_path, "\n".join(lines) + "\n")
    assert len(answers) == len(references)
    for row, answer in zip(references, answers, strict=True):
        assert (answer["name"], answer["status"]) == (row["id"], "ok")
        for name, column in (("price", "call"), ("delta", "delta_call"), ("gamma", "gamma")):
            value, right = float(answer[name]), float(row[column])
            assert value == pytest.approx(right, rel=1e-6, abs=1e-15), row["id"]
            assert abs(value - right) <= 4 * float(answer[f"{name}_se"]) + 1e-18, row["id"]
        assert float(answer["vega_per_unit_vol"]) == pytest.approx(float(row["vega"]), rel=1e-5, abs=1e-9)
        assert float(answer["vega_per_unit_vol_se"]) >= 0


def test_terms_left_out_are_deribits_and_the_fixings_are_counted(tmp_path: Path) -> None:
    """Without its columns the average is that of 450 fixings in 30 minutes."""
    short = priced(tmp_path, f"option_type,forward,strike,tau_years,vol\ncall,100,100,{60 * MINUTE!r},0.7\n")
    head = "option_type,forward,strike,tau_years,vol,window_minutes,n_fixings,n_past,past_average\n"
    full = priced(tmp_path, f"{head}call,100,100,{60 * MINUTE!r},0.7,30,450,0,\n")
    assert short[0]["price"] == full[0]["price"]
    counted, told = priced(
        tmp_path,
        f"{head}put,100,100,{20 * MINUTE!r},0.7,30,450,,100.2\nput,100,100,{20 * MINUTE!r},0.7,30,450,150,100.2\n",
    )
    assert counted["price"] == told["price"]


def test_a_bad_row_says_why_and_spoils_no_other(tmp_path: Path) -> None:
    """Also one of the same average as a good one."""
    tau = repr(60 * MINUTE)
    answers = priced(
        tmp_path,
        "option_type,forward,strike,tau_years,vol,n_fixings,n_past,past_average,rate\n"
        f"call,100,100,{tau},0.7,450,0,,0.05\n"
        f"call,100,100,{tau},1e7,450,0,,\n"
        f"call,100,100,{tau},0.7,450,7,100,\n"
        f"call,100,100,{tau},0.7,0,0,,\n"
        f"call,100,100,{tau},0.7,450,0.5,,\n"
        f"swap,100,100,{tau},0.7,450,0,,\n",
    )
    statuses = [answer["status"] for answer in answers]
    assert statuses[0] == "ok"
    wanted = ["vol = ", "n_past = 7 contradicts", "n_fixings", "n_past = 0.5", "option_type"]
    for status, text in zip(statuses[1:], wanted, strict=True):
        assert status.startswith("bad_input: ")
        assert text in status
    assert all(answer["price"] == "" for answer in answers[1:])
    assert float(answers[0]["price"]) > 0


def test_rows_of_one_average_share_their_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where n_past and past_average are left out; the order of the file stays."""
    calls = []

    def counted(averaging, **option):
        calls.append(averaging)
        return rqmc(averaging, **option)

    monkeypatch.setattr("gammaflow.price_asian.rqmc", counted)
    rows = [f"call,100,{strike},{minutes * MINUTE!r},0.7" for strike in (99, 101) for minutes in (60, 90)]
    answers = priced(tmp_path, "option_type,forward,strike,tau_years,vol\n" + "\n".join(rows) + "\n")
    assert len(calls) == 2
    prices = [float(answer["price"]) for answer in answers]
    assert prices[2] < prices[3] < prices[0] < prices[1]


def test_a_file_without_rows_is_answered(tmp_path: Path) -> None:
    assert priced(tmp_path, "option_type,forward,strike,tau_years,vol\n") == []
