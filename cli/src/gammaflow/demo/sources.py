"""Where the demo's data comes from, as settings of the collector."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gammaflow.errors import UserError

RECORDED_KINDS = ("deribit_chain", "deribit_trades", "binance")


@dataclass(frozen=True, slots=True)
class Source:
    """What feeds the demo: ``collector`` are the collector's settings, ``ends`` whether it ends by itself."""

    name: str
    label: str
    collector: Mapping[str, str]
    ends: bool


def require_recordings(path: Path | None) -> None:
    """Refuse a folder without recordings, before anything is started."""
    if path is None:
        raise UserError("--source recorded needs --path: a folder of recordings")
    if not path.is_dir():
        raise UserError(f"--path {path}: no such folder; name one that holds {' or '.join(RECORDED_KINDS)}")
    if not any((path / kind).is_dir() for kind in RECORDED_KINDS):
        raise UserError(f"--path {path}: no recordings found; it must hold {' or '.join(RECORDED_KINDS)}")


def recorded(path: Path, kinds: str) -> Source:
    """Return recordings in a folder, as fast as they can be processed; ``kinds`` are the collector's."""
    settings = {"SOURCE": "file", "PATH": str(path.absolute()), "SPEED": "0", "KINDS": kinds}
    return Source("recorded", f"recordings in {path.absolute().name}", prefixed(settings), ends=True)


def live() -> Source:
    """Return the venues' public feeds."""
    return Source("live", "public feeds of Deribit and Binance", prefixed({"SOURCE": "live"}), ends=False)


def simulated(port: int, underlyings: str) -> Source:
    """Return the venue simulator on this machine."""
    web, http = f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}"
    settings = {
        "SOURCE": "live",
        "UNDERLYINGS": underlyings,
        "DERIBIT_WS_URL": f"{web}/deribit/ws/api/v2",
        "DERIBIT_REST_URL": f"{http}/deribit/api/v2",
        "BINANCE_USDM_WS_URL": f"{web}/usdm",
        "BINANCE_USDM_REST_URL": f"{http}/usdm",
        "BINANCE_SPOT_WS_URL": f"{web}/spot",
        "BINANCE_SPOT_REST_URL": f"{http}/spot",
    }
    return Source("sim", "venue simulator", prefixed(settings), ends=False)


def prefixed(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings as the collector's environment variables."""
    return {f"GAMMAFLOW_COLLECTOR_{name}": value for name, value in settings.items()}


def name_of(args: argparse.Namespace) -> str:
    """Return which source is meant: a path means recordings, nothing at all means the simulator."""
    if args.source is not None:
        return str(args.source)
    return "recorded" if args.path is not None else "sim"
