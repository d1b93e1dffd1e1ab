"""The live terminal view: rates, lag, freshness and levels; plain lines when the output is not a terminal."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gammaflow.demo.levels import Latency, Level
from gammaflow.demo.report import dollars, millions

PLAIN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Frame:
    """What one refresh shows; ``rates`` are (topic, records so far, records per second)."""

    elapsed_s: float
    phase: str
    rates: Sequence[tuple[str, int, float]]
    lag: int | None
    freshness_s: float | None
    levels: Sequence[Level]
    latency: Latency | None
    restarts: int
    dead_letters: int


class View:
    """Shows frames until it is left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
        self._last_plain_s = -PLAIN_EVERY_S

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def is_due(self) -> bool:
        """Return whether a frame would be shown now: without a terminal, one in a few seconds is enough."""
        return self._live is not None or time.monotonic() - self._last_plain_s >= PLAIN_EVERY_S

    def show(self, frame: Frame) -> None:
        """Show one frame."""
        if self._live is not None:
            self._live.update(Group(headline(frame), rates_table(frame), levels_table(frame)), refresh=True)
        else:
            self._last_plain_s = time.monotonic()
            self._console.print(plain_line(frame), soft_wrap=True, highlight=False)


def headline(frame: Frame) -> Text:
    """Return the state of the run in one line."""
    return Text(" · ".join(state_of(frame)), style="bold")


def state_of(frame: Frame) -> list[str]:
    """Return the parts of the headline that are known."""
    parts = [f"{frame.elapsed_s:5.0f} s", frame.phase]
    if frame.lag is not None:
        parts.append(f"lag {frame.lag:,} records")
    if frame.freshness_s is not None:
        parts.append(f"newest level {frame.freshness_s:.1f} s old")
    if frame.latency is not None:
        parts.append(f"end to end p50 {frame.latency.p50_s:.2f} s, p99 {frame.latency.p99_s:.2f} s")
    parts.append(f"dead letters {frame.dead_letters}")
    if frame.restarts:
        parts.append(f"restarts {frame.restarts}")
    return parts


def rates_table(frame: Frame) -> Table:
    """Return the table of topics that have records."""
    table = Table("topic", "records", "per second", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for topic, records, rate in frame.rates:
        if records:
            table.add_row(topic, f"{records:,}", f"{rate:,.0f}")
    return table


def levels_table(frame: Frame) -> Table:
    """Return the table of levels."""
    names = (
        "underlying",
        "signs",
        "second (UTC)",
        "spot",
        "NGI /1 %",
        "VSS /vol pt",
        "flips",
        "call wall",
        "put wall",
        "coverage",
    )
    table = Table(*names, box=None, pad_edge=False)
    for level in sorted(frame.levels, key=lambda level: (level.underlying, level.sign_model)):
        table.add_row(*cells(level))
    return table


def cells(level: Level) -> list[str]:
    """Return one row of the levels table."""
    flips = " ".join(f"{flip:,.0f}" for flip in level.flips[:3]) or level.flip_status
    coverage = "–" if level.coverage is None else f"{level.coverage:.0%}"
    return [
        level.underlying,
        level.sign_model,
        f"{level.second:%Y-%m-%d %H:%M:%S}",
        dollars(level.spot, 0),
        millions(level.ngi),
        millions(level.vss),
        flips if level.status == "ok" else f"suppressed: {', '.join(level.reasons)}",
        dollars(level.call_wall, 0),
        dollars(level.put_wall, 0),
        coverage,
    ]


def plain_line(frame: Frame) -> str:
    """Return the whole frame as one line."""
    levels = "; ".join(
        f"{level.underlying} {level.sign_model} NGI {millions(level.ngi)} flip {dollars(level.flip, 0)}"
        for level in sorted(frame.levels, key=lambda level: (level.underlying, level.sign_model))
    )
    return " · ".join([*state_of(frame), levels])
