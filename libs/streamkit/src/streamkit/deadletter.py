"""What happens to input that is invalid: a dead letter with its reason, and a limit to how many of them."""

from collections import deque

from contracts.records import DeadLetter
from streamkit.broker import Headers, Record

WINDOW_RECORDS = 1000
WINDOW_REFUSED_MAX = 50  # 5 % of the window
RUN_REFUSED_MAX = 100


class BreakerOpen(Exception):
    """So much is refused that the fault is more likely here, or upstream, than in the records."""


class Breaker:
    """Opens when more than 5 % of the last 1,000 records were refused (once there are so many), or 100 in a row."""

    def __init__(self) -> None:
        self._seen = 0
        self._refused: deque[int] = deque()
        self._run = 0

    def passed(self, records: int) -> None:
        """Take note of ``records`` good ones in a row."""
        self._seen += records
        if records:
            self._run = 0

    def note(self, reason: str | None) -> None:
        """Take note of one record, refused for ``reason`` or good (None); raises BreakerOpen at one refusal too many.

        Records are noted in the order of their log.
        """
        if reason is None:
            self.passed(1)
            return
        self._seen += 1
        self._run += 1
        self._refused.append(self._seen)
        while self._refused[0] <= self._seen - WINDOW_RECORDS:
            self._refused.popleft()
        too_many = self._seen >= WINDOW_RECORDS and len(self._refused) > WINDOW_REFUSED_MAX
        if too_many or self._run >= RUN_REFUSED_MAX:
            raise BreakerOpen(
                f"{len(self._refused)} of the last {min(self._seen, WINDOW_RECORDS)} records refused, {self._run} in a "
                f"row, the last for {reason}: look at the dead-letter topic and at what was deployed last, then restart"
            )


def letter(
    *, service: str, topic: str, partition: int, record: Record, reason: str, detail: str, underlying: str
) -> DeadLetter:
    """Return the dead letter of ``record``; dead-letter topics take larger messages than any source topic."""
    return DeadLetter(
        service=service,
        underlying=underlying,
        source_topic=topic,
        source_partition=partition,
        source_offset=record.offset,
        source_timestamp_ms=record.timestamp_ms,
        source_key=record.key,
        source_value=record.value,
        reason=reason,
        detail=detail,
    )


def headers(note: DeadLetter) -> Headers:
    """Return the headers that let one filter dead letters without decoding them."""
    return (
        ("x-dlq-reason", note.reason.encode()),
        ("x-dlq-source-topic", note.source_topic.encode()),
        ("x-dlq-source-partition", str(note.source_partition).encode()),
        ("x-dlq-source-offset", str(note.source_offset).encode()),
        ("x-dlq-service", note.service.encode()),
    )
