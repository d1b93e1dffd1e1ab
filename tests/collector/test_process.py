"""``python -m collector``: what is refused at start ends with code 2 and says variable, value and remedy."""

import os
import subprocess
import sys

import pytest

GIVEN = {
    "GAMMAFLOW_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "GAMMAFLOW_REGISTRY_URL": "http://127.0.0.1:1",
    "GAMMAFLOW_COLLECTOR_SOURCE": "file",
}


def start(**settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAMMAFLOW")}
    return subprocess.run(
        [sys.executable, "-m", "collector"],
        env=clean | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "GAMMAFLOW_COLLECTOR_PATH is not set, but SOURCE=file needs a folder of recordings"),
        ({"GAMMAFLOW_COLLECTOR_PATH": "nowhere"}, "PATH 'nowhere' does not exist; name a folder of recordings"),
        ({"GAMMAFLOW_COLLECTOR_VENUES": "kraken"}, "GAMMAFLOW_COLLECTOR_VENUES=kraken: Input should be 'deribit'"),
        ({"GAMMAFLOW_COLLECTOR_SPEED": "-1"}, "GAMMAFLOW_COLLECTOR_SPEED=-1: Input should be greater than or equal to"),
        ({"GAMMAFLOW_COLLECTOR_UNDERLYINGS": "BTC,BTC"}, "name at least one, each once"),
        ({"GAMMAFLOW_COLLECTOR_KINDS": ""}, "name at least one, each once"),
        ({"GAMMAFLOW_COLLECTOR_SPEEED": "1"}, "did you mean GAMMAFLOW_COLLECTOR_SPEED?"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(changed: dict[str, str], told: str) -> None:
    ended = start(**(GIVEN | changed))

    assert ended.returncode == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_missing_setting_is_named_at_once() -> None:
    ended = start()

    assert ended.returncode == 2
    assert "GAMMAFLOW_BOOTSTRAP_SERVERS is not set" in ended.stderr
    assert "GAMMAFLOW_REGISTRY_URL is not set" in ended.stderr


def test_a_broker_that_is_away_asks_for_a_restart() -> None:
    ended = start(
        GAMMAFLOW_BOOTSTRAP_SERVERS="127.0.0.1:1",
        GAMMAFLOW_REGISTRY_URL="http://127.0.0.1:1",
        GAMMAFLOW_COLLECTOR_SOURCE="live",
    )

    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stderr
    assert "check GAMMAFLOW_BOOTSTRAP_SERVERS" in ended.stderr
