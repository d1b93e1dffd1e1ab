"""The report page: what it says and draws for given levels."""

from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from gammaflow.demo.chart import gex_chart, strike_chart
from gammaflow.demo.levels import Latency, Level
from gammaflow.demo.report import Report, render

LEVEL = Level(
    venue="deribit",
    underlying="BTC",
    sign_model="naive",
    second=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    status="ok",
    reasons=("stale_inputs",),
    spot=100_000.0,
    ngi=-2.5e6,
    vss=1.0e6,
    chl=None,
    coverage=0.987,
    n_listed=10,
    n_used=9,
    flips=(90_000.0, 110_000.0),
    flip_status="ambiguous",
    flip=110_000.0,
    call_wall=120_000.0,
    put_wall=None,
    profile_spots=(50_000.0, 100_000.0, 150_000.0),
    profile_ngi=(-4e6, -2.5e6, 8e6),
    strikes=(95_000.0, 105_000.0, 400_000.0),
    call_ngi=(1e6, 2e6, 9e9),
    put_ngi=(-3e6, 0.0, 0.0),
)
REPORT = Report("a <test>", "2026-01-02 03:04:06", (LEVEL,), Latency(1000, 0.7, 1.25), {"dealer_exposure": 12}, ())


def test_the_page_shows_figures_with_their_units_and_says_what_is_unknown() -> None:
    """Amounts in millions with a sign, a missing figure as unknown, latency and row counts."""
    page = render(REPORT)
    for expected in (
        "−$2.50 M",
        "$100,000",
        "90,000 / 110,000",
        "98.7%",
        "9 of 10",
        "unknown",
        "1.25 s",
        "dealer_exposure",
    ):
        assert expected in page, expected


def test_text_from_outside_is_escaped() -> None:
    """A source or alert cannot bring markup with it."""
    page = render(replace(REPORT, alerts=("<script>x</script>",)))
    assert "a &lt;test&gt;" in page
    assert "<script>" not in page


@pytest.mark.parametrize("chart", [gex_chart, strike_chart])
def test_pictures_are_well_formed(chart) -> None:
    """Every picture parses as XML."""
    assert ET.fromstring(chart(LEVEL)).tag == "svg"  # noqa: S314 - our own output


def test_gex_chart_marks_spot_and_every_flip() -> None:
    """One solid line for spot, a dashed one per flip."""
    drawn = gex_chart(LEVEL)
    assert drawn.count("stroke-dasharray") == 2
    assert "spot 100,000" in drawn
    assert "flip 90,000" in drawn


def test_strikes_far_from_spot_do_not_flatten_the_picture() -> None:
    """A strike beyond 30 % is left out, so that its size does not set the scale."""
    assert "9,4" not in strike_chart(LEVEL)
    assert strike_chart(LEVEL).count("<rect") == 4


def test_a_flat_book_is_said_not_drawn() -> None:
    """Without any position there is a sentence instead of an empty picture."""
    flat = replace(LEVEL, profile_ngi=(0.0, 0.0, 0.0), call_ngi=(0.0,) * 3, put_ngi=(0.0,) * 3)
    page = render(replace(REPORT, levels=(flat,)))
    assert "<svg" not in page
    assert "The book is flat" in page
