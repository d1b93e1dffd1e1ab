"""How long to wait before trying again: exponential with full jitter, and never more often than a venue allows."""

SECOND_US = 1_000_000
HOUR_S = 3600.0


def full_jitter(attempt: int, *, base_s: float, cap_s: float, share: float) -> float:
    """Return the seconds to wait before the attempt after ``attempt`` failures (0, 1, …).

    ``share`` is random, uniform in [0, 1): the wait is that share of min(cap, base · 2^attempt).
    """
    return share * min(cap_s, base_s * 2.0 ** min(attempt, 62))


class Allowance:
    """A token bucket: ``per_hour`` at once, then one more each ``3600 / per_hour`` seconds. Times are microseconds."""

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._left = float(per_hour)
        self._counted_at: int | None = None

    def take(self, now: int) -> float:
        """Take one; returns the seconds to wait before using it."""
        if self._counted_at is not None:
            earned = (now - self._counted_at) / SECOND_US * self._per_hour / HOUR_S
            self._left = min(float(self._per_hour), self._left + earned)
        self._counted_at = now
        self._left -= 1.0
        return max(0.0, -self._left * HOUR_S / self._per_hour)
