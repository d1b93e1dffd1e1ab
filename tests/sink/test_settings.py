"""Settings through the process's environment."""

import pytest

from sink.settings import Settings
from sink.tables import TABLES
from streamkit.settings import SettingsRefused, load

REQUIRED = {
    "GAMMAFLOW_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "GAMMAFLOW_REGISTRY_URL": "http://127.0.0.1:8080",
    "GAMMAFLOW_CLICKHOUSE_URL": "http://127.0.0.1:8123",
}


@pytest.fixture
def settings(monkeypatch):
    def read(**variables):
        for name, value in {**REQUIRED, **variables}.items():
            monkeypatch.setenv(name, value)
        return load(Settings)

    return read


def test_by_default_everything_is_stored(settings) -> None:
    read = settings()
    assert read.topics == tuple(sorted(TABLES))
    assert read.partitions() == (0, 1, 2, 3)
    assert read.clickhouse_database == "gammaflow"


def test_the_work_can_be_split_by_topics_and_partitions(settings) -> None:
    read = settings(GAMMAFLOW_SINK_TOPICS="market.trades, dealer.exposure", GAMMAFLOW_ASSIGNMENT="3,1")
    assert (read.topics, read.partitions()) == (("dealer.exposure", "market.trades"), (1, 3))


def test_the_password_comes_from_its_file_and_never_shows(settings, tmp_path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    assert settings(GAMMAFLOW_CLICKHOUSE_PASSWORD_FILE=str(file)).password() == "s3cret"
    variables = {"GAMMAFLOW_CLICKHOUSE_PASSWORD": "s3cret"}
    assert "s3cret" not in repr(settings(**variables))


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("GAMMAFLOW_CLICKHOUSE_URL", "localhost", "http://host:port"),
        ("GAMMAFLOW_CLICKHOUSE_DATABASE", "a; DROP", "letters, digits and underscores"),
        ("GAMMAFLOW_SINK_TOPICS", "market.trade", "market.trade: no topic that names sink"),
        ("GAMMAFLOW_SINK_TOPICS", "", "no topic that names sink"),
        ("GAMMAFLOW_ASSIGNMENT", "group", "partition numbers"),
        ("GAMMAFLOW_SINK_FLUSH_ROWS", "0", "1 to 500000"),
        ("GAMMAFLOW_CLICKHOUSE_PASSWORD_FILE", "/nowhere/password", "no such file"),
    ],
)
def test_an_unusable_value_is_named_with_the_remedy(settings, variable, value, told) -> None:
    with pytest.raises(SettingsRefused) as refused:
        settings(**{variable: value})
    assert any(variable in line and told in line for line in refused.value.lines), refused.value.lines
