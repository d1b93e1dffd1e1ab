"""Who may import whom, and what a core may not touch: the architecture as a test."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    path.name: path
    for pattern in ("libs/*/src/*", "services/*/src/*", "stack/src/*", "cli/src/*")
    for path in ROOT.glob(pattern)
    if (path / "__init__.py").exists()
}
SERVICES = {path.name for path in ROOT.glob("services/*/src/*") if (path / "__init__.py").exists()}

MAY_IMPORT = {
    "contracts": set(),
    "pricing": set(),
    "streamkit": {"contracts"},
    "stack": {"contracts", "pricing"},
    "gammaflow": {"contracts", "streamkit", "stack", "pricing", *SERVICES},
    **{service: {"contracts", "streamkit"} for service in SERVICES},
    "greeks": {"contracts", "streamkit", "pricing"},
    "dealer_flow": {"contracts", "streamkit", "pricing"},
}

# The shells: modules that meet the outside world. Everything else in a service or in pricing is a core.
SHELLS = {
    "collector": {
        "archive.recorder",
        "file_source",
        "link",
        "live_log",
        "live_source",
        "pipeline",
        "raw_writer",
        "receive_clock",
        "reporting",
        "rest",
    },
    "normalizer": set(),
    "greeks": set(),
    "dealer_flow": set(),
    "sink": {"clickhouse", "generate", "migrate", "pipeline", "reporting", "service", "storing"},
    "alerts": {"desk", "pipeline", "read_back", "read_committed", "service", "telemetry"},
    "pricing": set(),
}
SHELLS_EVERYWHERE = {"__main__", "settings"}

IMPURE_MODULES = {
    "aiohttp",
    "asyncio",
    "chdb",
    "clickhouse_connect",
    "confluent_kafka",
    "faust",
    "http",
    "logging",
    "multiprocessing",
    "os",
    "prometheus_client",
    "pydantic_settings",
    "random",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "structlog",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
    "websockets",
}
IMPURE_CALLS = {"open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
FORBIDDEN_NAMES = {"common", "utils", "util", "helpers", "helper", "misc"}


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """Yield every module of a package as (dotted name below the package, file)."""
    for file in sorted(PACKAGES[package].rglob("*.py")):
        parts = file.relative_to(PACKAGES[package]).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__") or package, file


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level name of every absolute import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def called(tree: ast.AST) -> Iterator[str]:
    """Yield the written name of everything that is called."""
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def cores() -> Iterator[tuple[str, Path]]:
    """Yield every core module as (package.module, file)."""
    for package, shells in SHELLS.items():
        for name, file in modules(package):
            if name.split(".")[-1] not in SHELLS_EVERYWHERE and name not in shells:
                yield f"{package}.{name}", file


def impurities(tree: ast.AST) -> set[str]:
    """Return what a core may not do but this module does."""
    calls = {name for name in called(tree) if name in IMPURE_CALLS or name.startswith(("np.random.", "numpy.random."))}
    return (set(imported(tree)) & IMPURE_MODULES) | calls


def test_every_package_has_a_place_in_the_layers() -> None:
    """A new package must say what it may import."""
    assert set(PACKAGES) == set(MAY_IMPORT)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_packages_import_only_what_their_layer_allows(package: str) -> None:
    """Services never import each other, libraries never import services, nothing but cli imports the stack."""
    ours = set(PACKAGES) - {package}
    for name, file in modules(package):
        forbidden = (set(imported(ast.parse(file.read_text()))) & ours) - MAY_IMPORT[package]
        assert not forbidden, f"{package}.{name} imports {sorted(forbidden)}"


@pytest.mark.parametrize(("name", "file"), list(cores()), ids=lambda value: value if isinstance(value, str) else "")
def test_cores_touch_no_outside_world(name: str, file: Path) -> None:
    """No I/O, clock, environment, randomness or logging in a core."""
    assert not impurities(ast.parse(file.read_text())), name


def test_the_purity_rule_can_fail() -> None:
    """The rule sees an import, a clock call and an open file."""
    tree = ast.parse(
        "import time\nfrom datetime import datetime\ndef f():\n    return open('x'), datetime.now(), np.random.rand()"
    )
    assert impurities(tree) == {"time", "open", "datetime.now", "np.random.rand"}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_module_is_a_drawer(package: str) -> None:
    """A module is named for what it is about."""
    for name, _ in modules(package):
        assert not FORBIDDEN_NAMES & set(name.split(".")), name


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_imports_are_declared(package: str) -> None:
    """A package that imports another of ours declares it, so that its image installs it."""
    project = (PACKAGES[package].parents[1] / "pyproject.toml").read_text()
    used = {name for _, file in modules(package) for name in imported(ast.parse(file.read_text()))} & set(PACKAGES) - {
        package
    }
    for name in used:
        assert f'"gammaflow-{name.replace("_", "-")}"' in project, f"{package} imports {name} but does not declare it"
