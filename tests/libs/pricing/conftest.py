"""Kernels are loaded before the first test: compiling them, once per change, takes longer than a property may."""

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import numba
import pytest
from hypothesis import settings

import pricing
from pricing import black76, implied_vol, spot_grid

black76.load_kernel()
implied_vol.load_kernel()
spot_grid.load_kernels()

# A property is about values; how long an example takes on a busy machine is not.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

MODULES = ("compiled", "elementary", "normal", "black76_kernel", "implied_vol_kernel", "spot_grid_kernel")


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import kernels anew as plain Python, steps included: what one walks through with a debugger."""
    compiled = {name: sys.modules.pop(f"pricing.{name}") for name in MODULES}
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    yield importlib.import_module
    for name, module in compiled.items():
        sys.modules[f"pricing.{name}"] = module
        setattr(pricing, name, module)
