"""``./run surface``: every recorded format in, one document out; bad rows are said, not fatal."""

import gzip
import json
import math
import tarfile
from pathlib import Path
from typing import Any

import pytest

from gammaflow import surface_chain
from gammaflow.__main__ import main
from gammaflow.errors import UserError
from pricing.black76 import black76

EXPIRIES = {"27JUN25": "2025-06-27T08:00:00Z", "25JUL25": "2025-07-25T08:00:00Z"}
NOW_MS = surface_chain.expiry_of("20JUN25")
FORWARD = 100_000.0


def summaries(currency: str = "BTC", unit: float = 1.0) -> list[dict[str, Any]]:
    """A chain of two expiries, 13 strikes, vols around 60 %, four per cent wide, in ticks of nothing."""
    rows: list[dict[str, Any]] = []
    for name, days in (("27JUN25", 7), ("25JUL25", 35)):
        tau = days / 365
        for step in range(-6, 7):
            strike = round(FORWARD * math.exp(step * 0.25 * 0.6 * math.sqrt(tau)), -1)
            vol = 0.6 + 0.02 * (step / 4) ** 2
            for kind in "CP":
                price = float(
                    black76(forward=FORWARD, strike=strike, tau_years=tau, vol=vol, is_call=kind == "C").price
                )
                value = price / FORWARD * unit
                rows.append(
                    {
                        "instrument_name": f"{currency}-{name}-{strike:.0f}-{kind}",
                        "bid_price": 0.98 * value,
                        "ask_price": 1.02 * value,
                        "mark_price": value,
                        "underlying_price": FORWARD,
                        "creation_timestamp": NOW_MS,
                        "unheard_of": [1, 2],
                    }
                )
    return rows


def run(tmp_path: Path, text: str, *more: str, name: str = "chain.json") -> tuple[int, dict[str, Any]]:
    chain = tmp_path / name
    chain.write_text(text)
    out = tmp_path / "surface.json"
    code = main(["surface", "--in", str(chain), "--out", str(out), *more])
    return code, json.loads(out.read_text())


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_book_summary_response_becomes_a_surface(tmp_path: Path, wrapped: bool) -> None:
    rows = summaries()
    code, found = run(tmp_path, json.dumps({"jsonrpc": "2.0", "result": rows} if wrapped else rows))
    assert code == 0
    assert [one["expiry"] for one in found["expiries"]] == list(EXPIRIES.values())
    first = found["expiries"][0]
    assert (first["underlying"], first["status"], first["model"]) == ("BTC", "ok", "andreasen_huge")
    assert (first["forward"], first["forward_source"]) == (FORWARD, "venue")
    assert first["tau_years"] == pytest.approx(7 / 365)
    assert first["certificate"]["n_outside"] == 0
    assert first["certificate"]["arbitrage_free"]
    assert first["derived"]["atm_vol"] == pytest.approx(0.6, abs=0.005)
    assert len(first["grid"]) == 401
    used = [quote for quote in first["quotes"] if quote["used"]]
    assert len(used) == 13
    assert all(quote["bid_vol"] <= quote["fitted_vol"] <= quote["ask_vol"] for quote in used)
    assert {quote["status"] for quote in first["quotes"]} == {"ok", "in_the_money"}
    assert found["underlyings"]["BTC"]["atm_vol_by_days"]["30"]["vol"] == pytest.approx(0.6, abs=0.005)


def test_the_grid_is_the_quoted_range_widened_by_half(tmp_path: Path) -> None:
    _, found = run(tmp_path, json.dumps(summaries()))
    one = found["expiries"][1]
    k = [math.log(quote["strike"] / FORWARD) for quote in one["quotes"]]
    grid = [point["log_moneyness"] for point in one["grid"]]
    width = max(k) - min(k)
    assert grid[0] == pytest.approx(min(k) - width / 2)
    assert grid[-1] == pytest.approx(max(k) + width / 2)
    assert [point["is_extrapolated"] for point in one["grid"]].count(False) == 201


def test_a_linear_contract_is_divided_by_its_forward(tmp_path: Path) -> None:
    _, found = run(tmp_path, json.dumps(summaries("BTC_USDC", FORWARD)))
    assert found["expiries"][0]["derived"]["atm_vol"] == pytest.approx(0.6, abs=0.005)


def test_bad_rows_get_a_status_and_stop_nothing(tmp_path: Path) -> None:
    rows = summaries()
    rows[0]["bid_price"] = "abc"
    rows[1]["underlying_price"] = -1.0
    rows[2]["ask_price"] = None
    rows[3]["creation_timestamp"] = "yesterday"
    rows += [{"instrument_name": "BTC-PERPETUAL"}, {"instrument_name": "BTC-99XXX25-1000-C"}, {}]
    document = json.dumps([*rows, 7])
    code, found = run(tmp_path, document)
    assert code == 0
    statuses = {quote["instrument"]: quote["status"] for quote in found["expiries"][0]["quotes"]}
    assert statuses[rows[0]["instrument_name"]] == "bid_price 'abc' is not a number"
    assert statuses[rows[1]["instrument_name"]] == "underlying price -1.0 is not positive"
    assert statuses[rows[2]["instrument_name"]] == "no_ask"
    assert "yesterday" in statuses[rows[3]["instrument_name"]]
    assert [one["instrument"] for one in found["rejected_rows"]] == ["BTC-PERPETUAL", "BTC-99XXX25-1000-C", "", "7"]


def test_same_chain_same_bytes(tmp_path: Path) -> None:
    run(tmp_path, json.dumps(summaries()))
    first = (tmp_path / "surface.json").read_bytes()
    run(tmp_path, json.dumps(summaries()))
    assert (tmp_path / "surface.json").read_bytes() == first


def test_expiries_without_forward_or_time_say_so(tmp_path: Path) -> None:
    rows = summaries()
    for row in rows:
        if "27JUN25" in row["instrument_name"]:
            row["creation_timestamp"] = NOW_MS + 8 * 86_400_000
        row["underlying_price"] = None
        row["bid_price"] = None
    code, found = run(tmp_path, json.dumps(rows))
    assert [one["status"] for one in found["expiries"]] == ["expired", "no_forward"]
    assert found["underlyings"]["BTC"]["status"] == "empty"
    assert code == 1


def test_a_csv_with_ticker_fields_sizes_and_a_future(tmp_path: Path) -> None:
    """Sizes and ages filter, the future's price is compared with the venue's underlying price."""
    lines = [
        "instrument_name,timestamp,best_bid_price,best_ask_price,best_bid_amount,best_ask_amount,underlying_price,mark_price"
    ]
    for i, row in enumerate(summaries()):
        size = 0.1 if i == 26 else 5
        time = NOW_MS - (60_000 if i == 27 else 0)
        lines.append(f"{row['instrument_name']},{time},{row['bid_price']},{row['ask_price']},{size},{size},{FORWARD},")
    lines.append(f"BTC-27JUN25,{NOW_MS},,,,,,{FORWARD * 1.01}")
    text = "\n".join(lines)
    code, found = run(tmp_path, text, "--min-size", "1", "--max-age-s", "10", name="chain.csv")
    assert code == 0
    first, second = found["expiries"]
    assert first["status"] == "forward_alarm"
    assert first["certificate"]["forward_disagreement_bps"] == pytest.approx(100.0)
    assert second["quotes"][0]["status"] in {"small", "in_the_money"}
    assert second["quotes"][1]["status"] in {"old", "in_the_money"}
    assert {second["quotes"][i]["status"] for i in (0, 1)} & {"small", "old"}


def test_vols_without_prices_are_priced_on_the_forward_of_the_deltas(tmp_path: Path) -> None:
    lines = ["date,instrument_name,delta,bid_iv,ask_iv,mark_iv"]
    for hour in ("2025-06-20T07:00:00.000000", "2025-06-20T08:00:00.000000"):
        for row in summaries():
            name = row["instrument_name"]
            strike, kind = float(name.split("-")[2]), name[-1]
            tau = (7 if "JUN" in name else 35) / 365
            greeks = black76(forward=FORWARD, strike=strike, tau_years=tau, vol=0.6, is_call=kind == "C")
            lines.append(f"{hour},{name},{float(greeks.delta):.5f},59,61,60")
    code, found = run(tmp_path, "\n".join(lines), name="hourly.csv")
    assert code == 0
    first = found["expiries"][0]
    assert first["forward_source"] == "delta"
    assert first["forward"] == pytest.approx(FORWARD, rel=1e-4)
    assert first["derived"]["atm_vol"] == pytest.approx(0.6, abs=0.003)
    assert found["underlyings"]["BTC"]["as_of"] == "2025-06-20T08:00:00Z"
    _, earlier = run(tmp_path, "\n".join(lines), "--at", "2025-06-20T07", name="hourly.csv")
    assert earlier["underlyings"]["BTC"]["as_of"] == "2025-06-20T07:00:00Z"
    assert main(["surface", "--in", str(tmp_path / "hourly.csv"), "--out", "x", "--at", "2031"]) == 2


def test_compressed_files_and_archive_members_are_read(tmp_path: Path) -> None:
    lines = ["instrument_name,timestamp,bid_price,ask_price,underlying"]
    lines += [
        f"{row['instrument_name']},2025-06-20T08:00:00+00:00,{row['bid_price']},{row['ask_price']},{FORWARD}"
        for row in summaries()
    ]
    plain = tmp_path / "chain.csv"
    plain.write_text("\n".join(lines))
    (tmp_path / "chain.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    with tarfile.open(tmp_path / "chains.tar.xz", "w:xz") as archive:
        archive.add(plain, arcname="chain.csv")
    expected = surface_chain.read_chain(str(plain))
    assert surface_chain.read_chain(str(tmp_path / "chain.csv.gz")) == expected
    assert surface_chain.read_chain(str(tmp_path / "chains.tar.xz" / "chain.csv")) == expected
    with pytest.raises(UserError, match="name one of the 1 members"):
        surface_chain.read_chain(str(tmp_path / "chains.tar.xz"))


def test_one_underlying_of_several_can_be_chosen(tmp_path: Path) -> None:
    text = json.dumps([*summaries("BTC"), *summaries("ETH")])
    _, both = run(tmp_path, text)
    assert sorted(both["underlyings"]) == ["BTC", "ETH"]
    _, one = run(tmp_path, text, "--underlying", "ETH")
    assert {each["underlying"] for each in one["expiries"]} == {"ETH"}
    assert main(["surface", "--in", str(tmp_path / "chain.json"), "--out", "x", "--underlying", "SOL"]) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ('{"result": 3}', "no list of book summaries"),
        ("a,b\n1,2\n", "no column instrument_name"),
        ("instrument_name\nBTC-PERPETUAL\n", "has no option rows"),
        ("instrument_name\nBTC-27JUN25-100000-C\n", "has a time"),
    ],
)
def test_files_that_are_no_chains_are_refused_in_one_line(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = tmp_path / "chain"
    chain.write_text(text)
    assert main(["surface", "--in", str(chain), "--out", str(tmp_path / "out.json")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_missing_files_and_bad_settings_are_refused(tmp_path: Path) -> None:
    chain = tmp_path / "chain.json"
    chain.write_text(json.dumps(summaries()))
    common = ["surface", "--in", str(chain), "--out"]
    assert main(["surface", "--in", str(tmp_path / "none"), "--out", "x"]) == 2
    assert main([*common, str(tmp_path / "no" / "place.json")]) == 2
    assert main([*common, str(tmp_path / "out.json"), "--max-age-s", "-1"]) == 2
    assert main([*common, str(tmp_path / "out.json"), "--at", "2025"]) == 2


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "expiries", "more"),
    [
        ("BTC_20260114_options_raw.csv.gz", 11, ()),
        ("BTC_hourly_20260123.csv.gz", 12, ("--at", "2026-01-23T05")),
        ("chain_6h_202512.tar.xz/deribit_options_snapshot_20251231T091828Z.csv", 24, ()),
        ("eth_book_summary_2024-01-08.csv.gz", 11, ()),
        ("btc_2020-05-14_orderbook_b221f2c4.csv.gz", 7, ()),
    ],
)
def test_every_recorded_format_is_read(
    tmp_path: Path, shared_data: Path, name: str, expiries: int, more: tuple[str, ...]
) -> None:
    out = tmp_path / "surface.json"
    assert main(["surface", "--in", str(shared_data / "deribit_chain" / name), "--out", str(out), *more]) == 0
    found = json.loads(out.read_text())
    assert len(found["expiries"]) == expiries
    assert not found["rejected_rows"]
    for one in found["expiries"]:
        assert one["certificate"]["arbitrage_free"], one["expiry"]
        assert one["certificate"]["n_outside"] == 0, one["expiry"]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_is_drawn_and_the_same_one_again(tmp_path: Path, ending: str) -> None:
    picture = tmp_path / f"smile.{ending}"
    run(tmp_path, json.dumps(summaries()), "--plot", str(picture))
    first = picture.read_bytes()
    assert first.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    run(tmp_path, json.dumps(summaries()), "--plot", str(picture))
    assert picture.read_bytes() == first


def test_a_picture_that_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    chain = tmp_path / "chain.json"
    chain.write_text(json.dumps(summaries()))
    arguments = ["surface", "--in", str(chain), "--out", str(tmp_path / "out.json"), "--plot"]
    assert main([*arguments, str(tmp_path / "smile.xyz")]) == 2
    chain.write_text(json.dumps([row | {"bid_price": None} for row in summaries()]))
    assert main([*arguments, str(tmp_path / "smile.png")]) == 2
