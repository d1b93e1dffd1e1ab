"""`./run settle`: averages from prints, and the documented effect."""

import math
from pathlib import Path

import pytest

from gammaflow import settle_effect
from gammaflow.__main__ import main
from gammaflow.errors import UserError
from gammaflow.settle_prints import moment_us, read_prints

EXPIRY = "2026-01-16T08:00:00Z"
EXPIRY_S = 1_768_550_400


def prints(path: Path, seconds: int = 1801) -> Path:
    """A print each second up to expiry that rises by a cent a second from 95,000."""
    first = EXPIRY_S - 1800
    lines = [f"{(first + s) * 1000},{95_000 + s / 100:.2f}" for s in range(seconds)]
    path.write_text("timestamp,price\n" + "\n".join(lines) + "\n")
    return path


def rows(output: str) -> dict[int, list[float]]:
    """Numbers of the printed lines by count of fixings."""
    lines = [line.split() for line in output.splitlines() if line.split()[0] in {"450", "300"} and "," in line]
    return {int(cells[0]): [float(cell.replace(",", "")) for cell in cells[1:]] for cells in lines}


def test_a_full_window_gives_both_averages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """450 fixings at 4, 8, … 1800 s average 902 s, 300 at 6, 12, … average 903 s."""
    assert main(["settle", "average", "--in", str(prints(tmp_path / "a.csv")), "--expiry", EXPIRY]) == 0
    found = rows(capsys.readouterr().out)
    assert found[450] == [450, 0, 0, 95_009.02, 95_018.00, 95_009.02, 0.0]
    assert found[300] == [300, 0, 0, 95_009.03, 95_018.00, 95_009.03, 0.0]


@pytest.mark.parametrize(
    ("delivered", "verdict"),
    [
        (95_009.03, "300 fixings give"),
        (95_009.015, "450 fixings give"),
        (95_020.0, "nearest is 300 fixings, 10.97 away"),
    ],
)
def test_the_delivery_price_tells_the_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], delivered: float, verdict: str
) -> None:
    """To the cent, or not at all."""
    arguments = ["settle", "average", "--in", str(prints(tmp_path / "a.csv")), "--expiry", EXPIRY]
    assert main([*arguments, "--delivery-price", str(delivered)]) == 0
    assert verdict in capsys.readouterr().out


def test_halfway_it_says_what_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At 07:45 half the fixings are known; a delivery price cannot be checked yet."""
    arguments = ["settle", "average", "--in", str(prints(tmp_path / "a.csv", 901)), "--expiry", EXPIRY]
    assert main([*arguments, "--now", "2026-01-16T07:45:00Z", "--delivery-price", "95000"]) == 0
    output = capsys.readouterr().out
    known, left, missing, average, last, estimate, sd, *_ = rows(output)[450]
    assert (known, left, missing) == (225, 225, 0)
    assert average == 95_004.52
    assert last == 95_009.0
    assert estimate == pytest.approx((average + last) / 2, abs=0.011)
    assert sd > 0
    assert "not checked" in output


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-01-16T08:00:00Z", EXPIRY_S * 10**6),
        ("2026-01-16T08:00:00", EXPIRY_S * 10**6),
        ("2026-01-16T09:00:00.25+01:00", EXPIRY_S * 10**6 + 250_000),
        (str(EXPIRY_S), EXPIRY_S * 10**6),
        (f"{EXPIRY_S}.5", EXPIRY_S * 10**6 + 500_000),
        (f"{EXPIRY_S}123", EXPIRY_S * 10**6 + 123_000),
        (f"{EXPIRY_S}123456", EXPIRY_S * 10**6 + 123_456),
        (f"{EXPIRY_S}123456789", EXPIRY_S * 10**6 + 123_456),
    ],
)
def test_times_are_read_in_any_unit(text: str, microseconds: int) -> None:
    assert moment_us(text) == microseconds


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("time_of_day,price\n1,2\n", "no column timestamp"),
        ("timestamp,price\n", "no prints"),
        ("timestamp,price\n1768550400,-1\n", "line 2"),
        ("timestamp,price\nnoon,95000\n", "line 2"),
        ("timestamp,price\n1768550400,inf\n", "line 2"),
        ("timestamp,price\n-5,95000\n", "line 2"),
    ],
)
def test_a_bad_record_is_refused(tmp_path: Path, content: str, said: str) -> None:
    """A settlement is not guessed at: one line with the remedy."""
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        read_prints(path)


def test_prints_are_sorted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("exchange_ts,index_price\n1768550402,2\n1768550400,1\n")
    assert list(read_prints(path).prices) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["average", "--in", "none.csv", "--expiry", EXPIRY], "cannot read none.csv"),
        (["average", "--in", "none.csv", "--expiry", "noon"], "--expiry 'noon' is not a time"),
        (["effect", "--vol", "-1"], "vol"),
        (["effect", "--fixings", "0"], "n_fixings"),
        (["effect", "--vol", "0.5", "--check"], "leave out --vol"),
    ],
)
def test_mistakes_get_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settle", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_now_before_the_first_print_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["settle", "average", "--in", str(prints(tmp_path / "a.csv")), "--expiry", EXPIRY]
    assert main([*arguments, "--now", "2026-01-15T08:00:00Z"]) == 2
    assert "no print" in capsys.readouterr().err


def test_the_documentation_is_what_is_computed() -> None:
    """Table and picture; `./run settle effect --write` renews them."""
    assert main(["settle", "effect", "--check"]) == 0


def test_drift_is_seen_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed figure fails the check; writing brings it back."""
    page, picture = tmp_path / "settlement.md", tmp_path / "effect.svg"
    page.write_text(settle_effect.PAGE.read_text().replace("1.7292", "1.7293"))
    monkeypatch.setattr(settle_effect, "PAGE", page)
    monkeypatch.setattr(settle_effect, "PICTURE", picture)
    assert main(["settle", "effect", "--check"]) == 1
    assert "settlement.md, effect.svg" in capsys.readouterr().err
    assert main(["settle", "effect", "--write"]) == 0
    assert main(["settle", "effect", "--check"]) == 0
    assert "1.7292" in page.read_text()


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(UserError, match="marks"):
        settle_effect.page_with("# Settlement", "table")


def test_the_table_of_other_terms_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settle", "effect", "--fixings", "300", "--vol", "0.4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(settle_effect.TIMES)
    gamma = float(lines[2].split("|")[4])
    assert math.isclose(gamma, 1.0010, abs_tol=1e-4)
