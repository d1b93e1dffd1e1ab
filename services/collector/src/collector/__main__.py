"""``python -m collector``: exit code 0 when done or stopped, 1 when it must be restarted, 2 when refused."""

import signal
import sys
from types import FrameType

import structlog
from pydantic import ValidationError

from collector.file_source import LogAhead
from collector.pipeline import run
from collector.raw_writer import PublishError
from collector.recorded.catalog import NoRecordings
from collector.recorded.rows import RecordingError
from collector.settings import Settings
from contracts.errors import NotProvisioned, RegistryUnavailable

DONE, RESTART, REFUSED = 0, 1, 2
_log = structlog.get_logger("collector")


class _StopSignal:
    """Remembers that SIGTERM or SIGINT came."""

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    def __call__(self) -> bool:
        return self._came

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True


def main() -> int:
    """Read the settings, run, and say in one line how it ended."""
    stopped = _StopSignal()
    try:
        settings = Settings()  # type: ignore[call-arg]  # the environment fills it
    except ValidationError as error:
        return _end(REFUSED, _problems(error))
    try:
        written = run(settings, stopped)
    except (RecordingError, NoRecordings, LogAhead) as error:
        return _end(REFUSED, str(error))
    except (PublishError, RegistryUnavailable, NotProvisioned) as error:
        return _end(RESTART, str(error))
    _log.info("ended", source=settings.source, records=written)
    return DONE


def _problems(error: ValidationError) -> str:
    listed = ("{}: {}".format(".".join(map(str, e["loc"])) or "settings", e["msg"]) for e in error.errors())
    return "settings refused: " + "; ".join(listed)


def _end(code: int, problem: str) -> int:
    sys.stderr.write(f"collector: {problem}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
