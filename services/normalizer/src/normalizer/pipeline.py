"""The normalizer on one screen: raw topics in, market topics and their clock out."""

from collections.abc import Sequence

from normalizer import market
from normalizer.limits import Limits
from normalizer.seconds import Normalizer
from streamkit.pipeline import Pipeline


def pipeline(venues: Sequence[str], limits: Limits) -> Pipeline:
    """Return the wiring for ``venues``; every one of their raw topics must carry the collector's heartbeats."""
    return Pipeline(
        service="normalizer",
        inputs=tuple(f"raw.{venue}" for venue in venues),
        unit="raw_second",
        outputs=(market.BOOKS, market.FUNDING, market.INSTRUMENTS, market.LIQUIDATIONS, market.TICKERS, market.TRADES),
        clock_out="market.clock",
        new_core=lambda _partition: Normalizer(limits),
    )
