"""Which channels must speak, and which of them have fallen silent although their subscription stands."""


class Liveness:
    """Tracks when each expected channel last spoke; times are microseconds.

    A silent channel is reported once, then again after twice the patience, and so on until it speaks: a channel that
    is quiet by nature is not asked for again and again.
    """

    def __init__(self, silent_after_us: int) -> None:
        self._silent_after_us = silent_after_us
        self._heard: dict[str, int] = {}
        self._patience: dict[str, int] = {}
        self._latest = 0

    def expect(self, channel: str, now: int) -> None:
        """Expect ``channel`` to speak from ``now`` on."""
        self._heard[channel] = self._latest = now

    def latest(self, now: int) -> int:
        """Return when any expected channel last spoke or was first expected; ``now`` while none is."""
        return self._latest if self._heard else now

    def forget(self, channel: str) -> None:
        """Expect nothing of ``channel`` any more."""
        self._heard.pop(channel, None)
        self._patience.pop(channel, None)

    def clear(self) -> None:
        """Expect nothing: the connection is new."""
        self._heard.clear()
        self._patience.clear()

    def heard(self, channel: str, now: int) -> None:
        """Note a frame of ``channel``; of no consequence if it is not expected."""
        if channel in self._heard:
            self._heard[channel] = self._latest = now
            if self._patience:
                self._patience.pop(channel, None)

    def silent(self, now: int) -> list[str]:
        """Return the channels that have been silent too long, by name, and extend their patience."""
        found = [
            channel
            for channel, heard in self._heard.items()
            if now - heard >= self._patience.get(channel, self._silent_after_us)
        ]
        for channel in found:
            self._patience[channel] = 2 * self._patience.get(channel, self._silent_after_us)
        return sorted(found)
