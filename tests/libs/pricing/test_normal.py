"""The steps that kernels are made of, against scipy and the standard library, compiled and as plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfcx, ndtr

from pricing.elementary import exponential, exponential_or_zero, log_ratio, logarithm
from pricing.normal import MILLS_FROM, mills, mills_pair, normal_cdf, normal_pdf

# A step called by itself is compiled at its first call, which takes longer than a property may.
for step in (exponential, exponential_or_zero, logarithm, mills, normal_cdf, normal_pdf):
    step(1.0)
log_ratio(1.0, 1.0)
mills_pair(1.0, 2.0, 1.0)


@given(st.floats(-700.0, 709.0))
def test_exponential_is_exp(x: float) -> None:
    assert exponential(x) == pytest.approx(math.exp(x), rel=5e-16, abs=0)


@pytest.mark.parametrize(("x", "expected"), [(0.0, 1.0), (-800.0, 0.0), (-math.inf, 0.0)])
def test_exponential_has_its_limits(x: float, expected: float) -> None:
    assert exponential(x) == expected


def test_exponential_underflows_gradually_and_does_not_overflow() -> None:
    assert exponential(-720.0) == pytest.approx(math.exp(-720.0), rel=1e-8, abs=0)
    assert math.isfinite(exponential(1e300))
    assert math.isnan(exponential(math.nan))


@given(st.floats(-1e300, 708.0))
def test_the_cheaper_exponential_is_the_same_or_zero(x: float) -> None:
    assert exponential_or_zero(x) == (exponential(x) if x >= -708.0 else 0.0)
    assert exponential_or_zero.py_func(np.float64(x)) == pytest.approx(exponential_or_zero(x), rel=1e-15, abs=0)


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300))
def test_log_ratio_is_the_difference_of_logarithms(a: float, b: float) -> None:
    assert log_ratio(a, b) == pytest.approx(math.log(a) - math.log(b), rel=1e-15, abs=3e-13)
    assert logarithm(a) == pytest.approx(math.log(a), rel=5e-16, abs=3e-16)


@given(st.floats(1e-3, 1e6), st.floats(-0.4, 0.6))
def test_log_ratio_keeps_its_digits_near_one(b: float, excess: float) -> None:
    a = b * (1.0 + excess)
    assert log_ratio(a, b) == pytest.approx(math.log1p((a - b) / b), rel=2e-15, abs=0)


def test_log_ratio_of_a_missing_number_is_missing() -> None:
    assert math.isnan(log_ratio(math.nan, 1.0))
    assert math.isnan(log_ratio(1.0, math.nan))


@given(st.floats(MILLS_FROM, 1e4))
def test_mills_is_the_scaled_complementary_error_function(y: float) -> None:
    assert mills(y) == pytest.approx(math.sqrt(math.pi / 2) * erfcx(y / math.sqrt(2)), rel=3e-15, abs=0)


@given(st.floats(MILLS_FROM, 38.0), st.floats(0.0, 80.0))
def test_mills_pair_is_two_mills_and_their_difference(y: float, span: float) -> None:
    at_y, at_z, difference = mills_pair(y, y + span, span)
    assert at_y == pytest.approx(mills(y), rel=1e-14, abs=0)
    assert at_z == pytest.approx(mills(y + span), rel=1e-13, abs=0)
    assert difference == pytest.approx(mills(y) - mills(y + span), rel=1e-13, abs=2e-14)


@given(st.floats(MILLS_FROM, 10.0), st.floats(1e-12, 1e-7))
def test_a_small_difference_of_mills_ratios_keeps_its_digits(y: float, span: float) -> None:
    """It is −span·M′ at the middle, M′ = y·M − 1, up to span³: what subtracting two ratios would have lost."""
    middle = y + 0.5 * span
    slope = 1.0 - middle * mills(middle)
    assert mills_pair(y, y + span, span)[2] == pytest.approx(span * slope, rel=3e-13, abs=0)


@given(st.floats(-37.0, 37.0))
def test_normal_distribution_and_density(x: float) -> None:
    assert normal_cdf(x) == pytest.approx(float(ndtr(x)), rel=3e-13, abs=0)
    assert normal_pdf(x) == pytest.approx(math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi), rel=3e-13, abs=0)


def test_plain_python_gives_what_is_compiled() -> None:
    """The steps run without a compiler, too, for debugging; fused multiply–add makes the last digits differ."""
    for x in (-3.0, -0.5, 0.0, 0.3, 2.5):
        a = np.float64(x)
        assert exponential.py_func(a) == pytest.approx(exponential(x), rel=1e-15)
        assert log_ratio.py_func(a + 4.0, np.float64(1.3)) == pytest.approx(log_ratio(x + 4.0, 1.3), rel=1e-14)
        assert logarithm.py_func(a + 4.0) == pytest.approx(logarithm(x + 4.0), rel=1e-14, abs=1e-16)
        assert normal_cdf.py_func(a) == pytest.approx(normal_cdf(x), rel=1e-14, abs=0)
        assert normal_pdf.py_func(a) == pytest.approx(normal_pdf(x), rel=1e-14)
        assert mills.py_func(abs(a)) == pytest.approx(mills(abs(x)), rel=1e-14)
        assert mills_pair.py_func(abs(a), abs(a) + 1.0, 1.0) == pytest.approx(mills_pair(abs(x), abs(x) + 1.0, 1.0))
