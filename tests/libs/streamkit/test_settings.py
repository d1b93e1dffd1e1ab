"""Settings: every problem at once, each with variable, value and remedy."""

import os
from pathlib import Path

import pytest
from pydantic import Field

from streamkit.settings import ServiceSettings, SettingsRefused, load

GOOD = {"GAMMAFLOW_BOOTSTRAP_SERVERS": "127.0.0.1:9092", "GAMMAFLOW_REGISTRY_URL": "http://127.0.0.1:8081"}


@pytest.fixture
def environment(monkeypatch):
    """Set exactly these variables of ours."""

    def put(**variables):
        for name in [name for name in os.environ if name.startswith("GAMMAFLOW_")]:
            monkeypatch.delenv(name)
        for name, value in {**GOOD, **variables}.items():
            if value is not None:
                monkeypatch.setenv(name, value)

    return put


def problems(settings_type=ServiceSettings):
    with pytest.raises(SettingsRefused) as raised:
        load(settings_type)
    return raised.value.lines


def test_defaults_are_those_of_the_documentation(environment):
    environment()
    config = load(ServiceSettings).loop_config()
    assert (config.run_id, config.partitions) == ("", None)
    assert (config.commit_interval_s, config.commit_max_records) == (0.1, 5_000)
    assert (config.checkpoints.interval_s, config.checkpoints.max_records) == (30.0, 200_000)


def test_partitions_can_be_fixed(environment):
    environment(GAMMAFLOW_ASSIGNMENT="0,3", GAMMAFLOW_HEALTH_FILE="h.json")
    settings = load(ServiceSettings)
    assert settings.loop_config().partitions == (0, 3)
    assert settings.health_file == Path("h.json")


def test_every_problem_is_told_at_once_with_variable_value_and_remedy(environment):
    environment(
        GAMMAFLOW_BOOTSTRAP_SERVERS=None,
        GAMMAFLOW_REGISTRY_URL="ftp://x",
        GAMMAFLOW_COMMIT_INTERVAL_MS="soon",
        GAMMAFLOW_ASSIGNMENT="0,0",
        GAMMAFLOW_RUN_ID="Not Good",
    )
    lines = problems()
    assert len(lines) == 5
    told = "\n".join(lines)
    assert "GAMMAFLOW_BOOTSTRAP_SERVERS is not set; set it to brokers as host:port" in told
    assert "GAMMAFLOW_REGISTRY_URL=ftp://x" in told
    assert "GAMMAFLOW_COMMIT_INTERVAL_MS=soon" in told
    assert "GAMMAFLOW_ASSIGNMENT=0,0" in told
    assert "GAMMAFLOW_RUN_ID=Not Good" in told


def test_a_misspelt_variable_is_told(environment):
    environment(GAMMAFLOW_COMIT_INTERVAL_MS="50")
    assert problems() == ["GAMMAFLOW_COMIT_INTERVAL_MS=50: no such setting; did you mean GAMMAFLOW_COMMIT_INTERVAL_MS?"]


def test_variables_of_other_programs_are_left_alone(environment):
    environment(GAMMAFLOW_CACHE="/somewhere", GAMMAFLOW_GREEKS_STALE_AFTER_S="60")
    load(ServiceSettings)


def test_a_service_adds_settings_of_its_own(environment):
    class Own(ServiceSettings):
        stale_after_s: float = Field(default=60.0, gt=0, description="age in seconds from which inputs are stale")

    environment(GAMMAFLOW_STALE_AFTER_S="0")
    (line,) = problems(Own)
    assert line.startswith("GAMMAFLOW_STALE_AFTER_S=0: ")
    assert line.endswith("set it to age in seconds from which inputs are stale")
