"""SABR, eSSVI and PCHIP: published values, and the same interface as the others."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pricing.surface import essvi, pchip, sabr
from pricing.surface.quotes import SliceQuotes, smile_vol

Make = Callable[..., Any]

# Le Floc'h & Kennedy (SSRN 2467231), as tested by QuantLib: (F, K, T, α, β, ν, ρ) and the vol of their expansion.
SMOOTH = (
    ((1.0, 1.0, 2.0, 0.35, 0.25, 1.0, 0.25), 0.408702473958),
    ((1.0, 0.5, 2.0, 0.35, 0.25, 1.0, 0.25), 0.585701651161),
    ((1.1, 1.1, 2.1, 0.35, 0.30, 1.1, 0.25), 0.3963883944),
)
# Hagan's expansion in 40 digits: QuantLib's testSabrInterpolation, and a strike of Antonov et al. (2019), table 4.3.
HAGAN = (
    ((0.039, 0.038, 1.0, 0.3, 0.6, 0.02, 0.01), 1.1129907924448708),
    ((0.039, 0.040, 1.0, 0.3, 0.6, 0.02, 0.01), 1.1014560935717141),
    ((1.0, 1.9, 20.0, 0.25, 0.9, 0.3, -0.2), 0.2662679327587246),
)


def named(inputs: tuple[float, ...]) -> tuple[sabr.Sabr, float]:
    F, K, T, alpha, beta, nu, rho = inputs
    return sabr.Sabr(tau_years=T, alpha=alpha, beta=beta, rho=rho, nu=nu, forward=F), K


@pytest.mark.parametrize(("inputs", "expected"), HAGAN)
def test_hagan_vol_has_the_published_values(inputs: tuple[float, ...], expected: float) -> None:
    smile, strike = named(inputs)
    assert float(smile.hagan_vol(strike)) == pytest.approx(expected, rel=2e-14)


@pytest.mark.parametrize(("inputs", "expected"), SMOOTH)
def test_smooth_vol_has_the_published_values(inputs: tuple[float, ...], expected: float) -> None:
    smile, strike = named(inputs)
    assert float(smile.smooth_vol(strike)) == pytest.approx(expected, abs=1e-10)


@pytest.mark.shared_data
def test_every_recorded_sabr_value(shared_data: Path) -> None:
    """All rows of the reference set, against their independent recomputation."""
    values = json.loads((shared_data.parent / "reference" / "reference_values.json").read_text())["values"]
    rows: list[dict[str, Any]] = [row for row in values if row["kind"] == "sabr_hagan2002_lognormal_vol"]
    assert rows
    for row in rows:
        i = row["inputs"]
        smile, strike = named((i["F"], i["K"], i["T"], i["alpha"], i["beta"], i["nu"], i["rho"]))
        assert float(smile.hagan_vol(strike)) == pytest.approx(row["own_mpmath"], rel=1e-12), row["id"]


@pytest.mark.parametrize(
    ("tau_years", "alpha", "nu", "rho"),
    [
        (0.153, 0.256, 0.933, -0.321),
        (0.23, 0.256, 0.82, -0.346),
        (1.726, 0.261, 0.392, -0.44),
        (3.241, 0.262, 0.31, -0.447),
    ],
)
def test_three_vols_give_the_parameters_back(
    tau_years: float, alpha: float, nu: float, rho: float, otm_value: Make
) -> None:
    """Le Floc'h & Kennedy, table 3: β = 1, strikes at 95, 100 and 105 %."""
    made = sabr.Sabr(tau_years=tau_years, alpha=alpha, beta=1.0, rho=rho, nu=nu)
    k = np.log([0.95, 1.0, 1.05])
    value = otm_value(k, np.sqrt(made.total_variance(k)))
    found = sabr.fit(SliceQuotes("x", tau_years, k, value * (1 - 1e-6), value * (1 + 1e-6)))
    assert found.alpha == pytest.approx(alpha, abs=1e-4)
    assert found.nu == pytest.approx(nu, abs=0.01)
    assert found.rho == pytest.approx(rho, abs=0.005)


def test_both_sabr_expansions_meet_at_the_forward_and_without_volvol() -> None:
    smile = sabr.Sabr(tau_years=0.5, alpha=0.4, beta=1.0, rho=-0.3, nu=0.8)
    assert float(smile.smooth_vol(1.0)) == float(smile.hagan_vol(1.0))
    assert float(smile.smooth_vol(1.001)) == pytest.approx(float(smile.hagan_vol(1.001)), rel=1e-4)
    flat = sabr.Sabr(tau_years=0.5, alpha=0.4, beta=1.0, rho=-0.3, nu=0.0)
    np.testing.assert_allclose(flat.smooth_vol([0.5, 2.0]), 0.4, rtol=1e-12)


@pytest.mark.parametrize("name", ["tau_years", "alpha", "beta", "rho", "nu", "forward"])
def test_impossible_sabr_parameters_are_refused(name: str) -> None:
    good = {"tau_years": 1.0, "alpha": 0.3, "beta": 0.5, "rho": 0.0, "nu": 0.5, "forward": 1.0}
    with pytest.raises(ValueError, match=f"{name} = -2.0"):
        sabr.Sabr(**(good | {name: -2.0}))


def test_essvi_slices_are_ordered_and_free_of_butterflies(skewed_slice: Make) -> None:
    slices = [skewed_slice(f"{days}", days / 365, n=15) for days in (30, 2, 7)]
    found = essvi.fit_all(slices)
    assert [one.tau_years for one in found] == sorted(one.tau_years for one in slices)
    k = np.linspace(-2.0, 2.0, 401)
    for early, late in itertools.pairwise(found):
        assert np.all(early.total_variance(k) <= late.total_variance(k) * (1 + 1e-9))
    for one in found:
        assert one.is_butterfly_free
        assert one.raw.smallest_g(-2.0, 2.0)[0] >= 0.0
        assert one.raw.total_variance(np.zeros(1))[0] == pytest.approx(one.theta)


@pytest.mark.parametrize(
    ("theta", "rho", "k", "expected"),
    [
        (0.04, -0.7, (-1.0, -0.5, 0.5, 1.0), (0.20489125293, 0.12057438524, 0.02372983346, 0.03717797888)),
    ],
)
def test_ssvi_values(theta: float, rho: float, k: tuple[float, ...], expected: tuple[float, ...]) -> None:
    """Square-root φ = θ^−½ of Gatheral & Jacquier, η = 1."""
    slice_ = essvi.Essvi(tau_years=1.0, theta=theta, psi=theta * theta**-0.5, rho=rho)
    np.testing.assert_allclose(slice_.total_variance(np.array(k)), expected, atol=1e-11)


def test_pchip_goes_through_the_mids_and_is_flat_outside(skewed_slice: Make) -> None:
    quotes = skewed_slice("x", 0.1)
    smile = pchip.fit(quotes)
    np.testing.assert_allclose(smile_vol(smile, quotes.log_moneyness), quotes.mid_vol, rtol=1e-12)
    assert smile_vol(smile, 9.0) == pytest.approx(quotes.mid_vol[-1])


@pytest.mark.parametrize("model", [sabr.fit, essvi.fit, pchip.fit])
def test_every_model_fits_a_slice_behind_one_interface(model: Any, skewed_slice: Make) -> None:
    quotes = skewed_slice("x", 30 / 365)
    smile = model(quotes)
    assert smile.tau_years == quotes.tau_years
    assert float(smile_vol(smile, 0.0)) == pytest.approx(0.6, abs=0.03)
    assert smile.total_variance(np.array([-0.1, 0.1])).shape == (2,)


def test_too_few_quotes_are_refused(otm_value: Make) -> None:
    k = np.zeros(1)
    one = SliceQuotes("x", 0.1, k, otm_value(k, 0.1), otm_value(k, 0.11))
    with pytest.raises(ValueError, match="SABR needs 3"):
        sabr.fit(one)
    with pytest.raises(ValueError, match="interpolation needs two"):
        pchip.fit(one)
    assert math.isfinite(essvi.fit(one).theta)
