"""The log of a service process: one JSON line per event on standard output, the client library's lines included."""

import logging
import sys
from typing import Any, Literal, Protocol

import structlog
from structlog.typing import Processor


class Log(Protocol):
    """The part of a structlog logger that the shell uses."""

    def info(self, event: str, **fields: Any) -> Any:
        """Write a line."""
        ...

    def warning(self, event: str, **fields: Any) -> Any:
        """Write a line that someone should look at."""
        ...

    def error(self, event: str, **fields: Any) -> Any:
        """Write the line that says why the process ends."""
        ...


def logger(service: str, log_format: Literal["json", "console"]) -> Log:
    """Return the logger of ``service`` and make it the only one of the process."""
    json, console = structlog.processors.JSONRenderer(), structlog.dev.ConsoleRenderer()
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                console if log_format == "console" else json,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(service).setLevel(logging.INFO)  # libraries tell of every request at this level
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    log: Log = structlog.get_logger(service).bind(service=service)
    return log
