"""The figures by which the normalizer judges and bounds what it holds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Thresholds of the quality rules and bounds of the state.

    Attributes:
        stale_quote_s: Age of the best bid and ask above which a ticker is flagged, seconds.
        max_iv: Largest implied vol that is not flagged, decimal.
        jump: Relative move between two prices that is flagged.
        jump_window_s: Farthest apart that the two prices may be received for the move to be a jump, seconds.
        dedupe_window: Trade and liquidation ids remembered per venue and underlying.
        buffer_deltas: Book deltas kept per instrument while its snapshot is awaited.
        depth: Levels a side of a book snapshot.
        max_instruments: Instruments held per venue and underlying; a symbol beyond it is refused.
    """

    stale_quote_s: int = 60
    max_iv: float = 3.0
    jump: float = 0.05
    jump_window_s: int = 60
    dedupe_window: int = 20_000
    buffer_deltas: int = 1_000
    depth: int = 50
    max_instruments: int = 20_000
