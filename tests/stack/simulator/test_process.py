"""The simulator as a process: ready file, clean stop, truth file, and errors in one line."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "stack.simulator", "--options", "40", "--underlyings", "BTC"]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    files = ["--port-file", str(tmp_path / "port"), "--truth-file", str(tmp_path / "truth.json")]
    with subprocess.Popen([*COMMAND, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def wait_for(file: Path) -> str:
    for _ in range(600):
        if file.exists():
            return file.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{file.name} did not appear")


def test_sigterm_ends_it_with_exit_zero_and_the_truth_written(process: subprocess.Popen[str], tmp_path: Path) -> None:
    port = int(wait_for(tmp_path / "port"))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_truth/inventory", timeout=30) as answer:
        names = set(json.load(answer)["instruments"])
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == f"venue simulator on 127.0.0.1:{port}\n"
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert set(truth["inventory"]["instruments"]) == names
    assert len(names) == 40
    assert truth["ledger"] == {"connections": [], "faults": []}


def test_a_taken_port_is_one_clear_line(process: subprocess.Popen[str], tmp_path: Path) -> None:
    port = wait_for(tmp_path / "port")
    second = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert f"--port is {port}, which is taken" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--options", "7"], "--options is 7, must be even"),
        (["--options", "1"], "--options is 1, must be between"),
        (["--underlyings", "SOL"], "--underlyings is 'SOL'"),
        (["--updates-per-option-s", "nan"], "--updates-per-option-s is nan"),
        (["--start-time", "yesterday"], "--start-time is 'yesterday', must be now or like"),
        (["--chain", "no-such.csv"], "no-such.csv: No such file"),
        (["--faults", "no-such.json"], "no-such.json: No such file"),
        (["--truth-file", "no-such/truth.json"], "no directory no-such; make it first"),
        (["--bogus"], "unrecognized arguments: --bogus"),
    ],
)
def test_bad_arguments_end_with_two_and_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from stack.simulator.__main__ import main  # noqa: PLC0415 (the module runs when imported as a script only)

    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_scheduled_fault_on_an_unknown_book_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stack.simulator.__main__ import main  # noqa: PLC0415 (as above)

    file = tmp_path / "faults.json"
    file.write_text('[{"fault":"crossed_book","instrument":"XRP","at":5}]')
    assert main(["--faults", str(file), "--options", "40"]) == 2
    assert "instrument is 'XRP'" in capsys.readouterr().err
