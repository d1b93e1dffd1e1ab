"""The kernel equals the readable reference, has the same bits however it is called, and refuses what cannot be."""

from collections.abc import Callable
from dataclasses import fields
from types import ModuleType

import numpy as np
import pytest

from pricing.black76 import Black76, black76
from pricing.black76_reference import black76_reference

NAMES = [field.name for field in fields(Black76)]


def chain(n: int = 5_000, seed: int = 3) -> dict[str, np.ndarray]:
    """Minutes to years, vols of 1 to 400 %, strikes to nine deviations away, positive and negative rates."""
    rng = np.random.default_rng(seed)
    forward = np.exp(rng.uniform(-3, 12, n))
    tau_years = np.exp(rng.uniform(np.log(1.9e-6), np.log(5.0), n))
    vol = np.exp(rng.uniform(np.log(0.01), np.log(4.0), n))
    deviations = rng.uniform(-9, 9, n) * (rng.random(n) > 0.1)
    return {
        "forward": forward,
        "strike": forward * np.exp(deviations * vol * np.sqrt(tau_years)),
        "tau_years": tau_years,
        "vol": vol,
        "is_call": rng.random(n) < 0.5,
        "rate": rng.uniform(-0.05, 0.1, n),
    }


def natural_sizes(options: dict[str, np.ndarray], value: Black76) -> dict[str, np.ndarray]:
    """What a greek that changes sign is compared with beside itself."""
    F, T, sigma, s = (
        *(options[k] for k in ("forward", "tau_years", "vol")),
        options["vol"] * options["tau_years"] ** 0.5,
    )
    return {
        "theta_per_year": value.vega_per_unit_vol * sigma / T,
        "vanna_per_unit_vol": value.vega_per_unit_vol / F,
        "volga_per_unit_vol2": value.vega_per_unit_vol / sigma,
        "charm_per_year": np.abs(value.delta) / T,
        "speed": value.gamma / (F * s),
        "color_per_year": value.gamma / T,
        "zomma": value.gamma / sigma,
    }


@pytest.mark.parametrize("name", NAMES)
def test_kernel_and_reference_agree(name: str) -> None:
    options = chain()
    value, reference = black76(**options), black76_reference(**options)
    expected = getattr(reference, name)
    scale = np.abs(expected) + natural_sizes(options, reference).get(name, 0.0) + 1e-290
    error = np.abs(getattr(value, name) - expected) / scale
    assert np.max(error) <= 1e-12


@pytest.mark.parametrize("degenerate", [{"tau_years": 0.0}, {"vol": 0.0}, {"tau_years": 0.0, "vol": 0.0}])
@pytest.mark.parametrize("name", NAMES)
def test_limits_agree_with_the_reference(name: str, degenerate: dict[str, float]) -> None:
    options = {"forward": 100.0, "strike": np.array([80.0, 100.0, 120.0]), "tau_years": 0.25, "vol": 0.5, "rate": 0.03}
    for is_call in (True, False):
        given = options | degenerate | {"is_call": is_call}
        assert getattr(black76(**given), name) == pytest.approx(
            getattr(black76_reference(**given), name), rel=1e-15, abs=1e-130
        )


@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 1000])
@pytest.mark.parametrize("threads", [2, 3])
def test_bits_depend_neither_on_threads_nor_on_place(n: int, threads: int) -> None:
    options = chain(n)
    whole = black76(**options)
    shared = black76(**options, threads=threads)
    last = black76(**{name: values[-1] for name, values in options.items()})
    for name in NAMES:
        assert getattr(whole, name).tobytes() == getattr(shared, name).tobytes()
        assert float(getattr(last, name)) == getattr(whole, name)[-1]


def test_inputs_broadcast() -> None:
    value = black76(forward=100.0, strike=[[90.0], [110.0]], tau_years=[0.1, 0.2, 0.3], vol=0.5, is_call=[True] * 3)
    assert value.price.shape == (2, 3)
    assert value.price[1, 2] == black76(forward=100.0, strike=110.0, tau_years=0.3, vol=0.5, is_call=True).price
    assert black76(forward=[], strike=1.0, tau_years=1.0, vol=1.0, is_call=True).price.shape == (0,)


def test_results_go_where_they_are_wanted() -> None:
    options, out = chain(300), np.empty((12, 300))
    value = black76(**options, out=out)
    assert np.shares_memory(value.price, out)
    assert value.zomma.tobytes() == black76(**options).zomma.tobytes()


def test_a_place_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"out has shape .* pass a C-contiguous float64 array \(12, 300\)"):
        black76(**chain(300), out=np.empty((12, 299)))


def test_less_than_one_thread_is_refused() -> None:
    with pytest.raises(ValueError, match="threads = 0"):
        black76(**chain(10), threads=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("forward", 5e-324),
        ("forward", np.inf),
        ("strike", 0.0),
        ("tau_years", np.inf),
        ("vol", -0.1),
        ("rate", -np.inf),
    ],
)
def test_an_impossible_input_among_many_is_found(field: str, value: float) -> None:
    options = chain(1000)
    options[field][777] = value
    with pytest.raises(ValueError, match=field):
        black76(**options, threads=2)


def test_the_extremes_of_float64_stay_finite() -> None:
    tiny, huge = 1e-150, 1e150
    for F, K in ((tiny, huge), (huge, tiny), (huge, huge), (tiny, tiny)):
        for T, sigma in ((1e-300, 1e-300), (1e-12, 1e3), (1e3, 1e3), (0.0, 0.0)):
            value = black76(forward=F, strike=K, tau_years=T, vol=sigma, is_call=True)
            assert np.isfinite(value.price)
            assert 0.0 <= value.delta <= 1.0
            assert np.isfinite(value.vega_per_unit_vol)


def test_plain_python_gives_what_is_compiled(uncompiled: Callable[[str], ModuleType]) -> None:
    options = chain(3)
    expected = black76(**options)
    inputs = tuple(options[name] for name in ("forward", "strike", "tau_years", "vol", "rate"))
    out = np.empty((12, 3))
    with np.errstate(all="ignore"):
        value = uncompiled("pricing.black76_kernel").value
        assert value(inputs, options["is_call"].view(np.uint8), 0, 3, out) == 0
        assert value((np.zeros(1), *inputs[1:]), np.ones(1, dtype=np.uint8), 0, 3, np.empty((12, 3))) > 0
    for name, row in zip(NAMES, out, strict=True):
        assert row == pytest.approx(getattr(expected, name), rel=1e-11, abs=0), name
