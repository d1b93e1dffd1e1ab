"""The service's settings in the process's environment."""

import pytest

from alerts.rules import DEFAULTS, NoData
from alerts.settings import AlertSettings
from streamkit.settings import SettingsRefused, load


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("GAMMAFLOW_BOOTSTRAP_SERVERS", "localhost:9092")
    monkeypatch.setenv("GAMMAFLOW_REGISTRY_URL", "http://localhost:8081")


def test_without_a_file_the_built_in_rules_hold():
    assert load(AlertSettings).rules() == DEFAULTS


def test_a_file_takes_the_place_of_the_built_in_rules(monkeypatch, tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("rules:\n  - {type: no_data, name: quiet}\n")
    monkeypatch.setenv("GAMMAFLOW_ALERTS_RULES_FILE", str(file))
    assert load(AlertSettings).rules() == (NoData(name="quiet"),)


def test_a_file_that_is_not_there_is_refused_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("GAMMAFLOW_ALERTS_RULES_FILE", str(tmp_path / "none.yaml"))
    with pytest.raises(SettingsRefused) as refused:
        load(AlertSettings)
    (line,) = refused.value.lines
    assert line.startswith(f"GAMMAFLOW_ALERTS_RULES_FILE={tmp_path}/none.yaml")
    assert "cannot be read (No such file or directory)" in line


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"rules:\n  - {type: no_data, name: a, severity: loud}\n"])
def test_a_file_with_a_problem_is_refused_with_the_problem(monkeypatch, tmp_path, content):
    file = tmp_path / "rules.yaml"
    file.write_bytes(content)
    monkeypatch.setenv("GAMMAFLOW_ALERTS_RULES_FILE", str(file))
    with pytest.raises(SettingsRefused) as refused:
        load(AlertSettings)
    assert ("loud" if b"loud" in content else "not UTF-8") in refused.value.lines[0]
