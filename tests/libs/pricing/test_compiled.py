"""Kernels on disk: compiled once, anew when a step they are made of changes, and without a disk with a warning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = """
from pricing.compiled import inlined

@inlined
def double(x):
    return {factor} * x
"""
KERNEL = """
from pricing.compiled import kernel
from steps import double

@kernel("f8(f8)")
def value(x):
    return double(x) + 1.0
"""
SCRIPT = "import kernels; print(kernels.value(3.0), sum(kernels.value.stats.cache_hits.values()))"
SCRIPT_OF_VALUE = "import kernels; print(kernels.value(3.0))"


def run(directory: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=directory,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS.format(factor=2.0))
    (tmp_path / "kernels.py").write_text(KERNEL)
    return tmp_path


def test_a_kernel_is_compiled_once_and_again_when_a_step_of_it_changes(package: Path) -> None:
    run(package, SCRIPT_OF_VALUE)
    assert list((package / "__pycache__").glob("kernels.value-*.nbc"))
    assert run(package, SCRIPT).stdout.split() == ["7.0", "1"]
    (package / "steps.py").write_text(STEPS.format(factor=5.0))
    assert run(package, SCRIPT_OF_VALUE).stdout.split() == ["16.0"]


def test_where_the_sources_cannot_be_written_beside_the_users_cache_is_used(package: Path) -> None:
    (package / "__pycache__").write_text("not a directory")
    home = package / "home"
    home.mkdir()
    done = run(package, SCRIPT_OF_VALUE, HOME=str(home), XDG_CACHE_HOME=str(home))
    assert (done.stdout.split(), done.stderr) == (["7.0"], "")
    assert list(home.rglob("kernels.value-*.nbc"))


def test_without_any_place_to_keep_them_kernels_work_with_a_warning(package: Path) -> None:
    (package / "__pycache__").write_text("not a directory")
    nowhere = str(package / "steps.py" / "none")
    done = run(package, SCRIPT_OF_VALUE, HOME=nowhere, XDG_CACHE_HOME=nowhere)
    assert done.stdout.split() == ["7.0"]
    assert "set NUMBA_CACHE_DIR to a directory that can be written" in done.stderr


def test_a_kernel_runs_without_a_compiler(package: Path) -> None:
    assert run(package, SCRIPT_OF_VALUE, NUMBA_DISABLE_JIT="1").stdout.split() == ["7.0"]


def test_importing_the_library_does_not_import_numba() -> None:
    script = "import sys, pricing.black76, pricing.implied_vol, pricing.spot_grid; print('numba' in sys.modules)"
    assert run(Path.cwd(), script).stdout.split() == ["False"]
