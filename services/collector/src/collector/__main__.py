"""``python -m collector``: exit code 0 when done or stopped, 1 when it must be restarted, 2 when refused."""

import signal
import sys
from types import FrameType

from collector.archive.store import ArchiveError
from collector.link import VenueRefused
from collector.pipeline import run
from collector.raw_writer import LogAhead, PublishError
from collector.recorded.catalog import NoRecordings
from collector.recorded.rows import RecordingError
from collector.reporting import PortTaken
from collector.settings import Settings
from contracts.errors import NotProvisioned, RegistryUnavailable
from streamkit.logs import logger
from streamkit.settings import SettingsRefused, load

DONE, RESTART, REFUSED = 0, 1, 2
_NEEDS_A_PERSON = (ArchiveError, RecordingError, NoRecordings, LogAhead, PortTaken, VenueRefused, NotProvisioned)
_PASSING = (PublishError, RegistryUnavailable)


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
        settings = load(Settings)
    except SettingsRefused as refused:
        return _end(REFUSED, *refused.lines)
    log = logger("collector", settings.log_format)
    try:
        written = run(settings, stopped)
    except _NEEDS_A_PERSON as error:
        return _end(REFUSED, str(error))
    except _PASSING as error:
        return _end(RESTART, str(error))
    log.info("ended", source=settings.source, records=written, exit_code=DONE)
    return DONE


def _end(code: int, *problems: str) -> int:
    for problem in problems:
        sys.stderr.write(f"collector: {problem}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
