"""Records as the rules see them: seconds from a fixed start, everything else made up."""

import pytest

from alerts.rules import FlipCrossed, NoData
from contracts.records import Clock, DealerExposure

START = 1_767_225_600
FLIP = 100_000.0


def make_exposure(at, spot, *, flip=FLIP, status="ok", sign_model="naive", underlying="BTC", venue="deribit"):
    return DealerExposure(
        venue=venue,
        underlying=underlying,
        second=START + at,
        received_ts=None,
        greeks_model="european",
        sign_model=sign_model,
        status="ok",
        reasons=(),
        spot=spot,
        ngi_usd_per_pct=None if spot is None else 1e6 * (spot / FLIP - 1),
        n_listed=1,
        n_used=1,
        by_strike=(),
        by_expiry=(),
        profile_dynamics="sticky_strike",
        profile_spots=(),
        profile_ngi_usd_per_pct=(),
        profile_vss_usd_per_vol_point=(),
        flips=(),
        flip_status=status,
        flip_spot=flip,
        quality=(),
    )


def make_clock(at, *, venue="deribit", underlying="BTC", idle=False, skipped=0):
    return Clock(
        venue=venue,
        underlying=underlying,
        second=START + at,
        received_ts=None if idle else (START + at) * 1_000_000,
        skipped_seconds=skipped,
        input_records=0 if idle else 1,
        rejected_records=0,
        topics=(),
    )


@pytest.fixture
def exposure():
    """exposure(at, spot, …): one of BTC's, ``at`` seconds after the start."""
    return make_exposure


@pytest.fixture
def clock():
    """clock(at, …): a clock record of BTC on deribit, ``at`` seconds after the start."""
    return make_clock


@pytest.fixture
def flip_rule():
    """A flip rule with round figures: 10 bps, 10 s of calm, fires at once."""
    return FlipCrossed(name="flip", hysteresis_bps=10, cool_down_s=10, persistence_s=0, max_gap_s=3)


@pytest.fixture
def silence_rule():
    """A no-data rule with round figures: a minute of silence, 100 s of calm."""
    return NoData(name="silence", persistence_s=60, cool_down_s=100)


@pytest.fixture
def start():
    return START
