"""All rules over one partition: records in, alerts out. Time is an argument."""

from alerts import flip, silence
from alerts.rules import FlipCrossed, NoData, Rule
from contracts.records import AlertEvent, Clock, DealerExposure

_Key = tuple[str, str]


class Engine:
    """The watches of every rule and underlying of one partition; their number is that of rules times underlyings."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._flips = [rule for rule in rules if isinstance(rule, FlipCrossed)]
        self._silences = [rule for rule in rules if isinstance(rule, NoData)]
        self._flip_watches: dict[_Key, flip.FlipWatch] = {}
        self._silence_watches: dict[_Key, silence.SilenceWatch] = {}

    def take(self, record: DealerExposure | Clock, now: float) -> list[AlertEvent]:
        """Take the next record of the log, which came at ``now`` (seconds, any clock that never steps back)."""
        if isinstance(record, DealerExposure):
            return self._take_exposure(record)
        return self._take_clock(record, now)

    def tick(self, now: float) -> list[AlertEvent]:
        """Take note that it is ``now``: tells of clocks that have stopped."""
        found: list[AlertEvent] = []
        for rule in self._silences:
            for (name, underlying), watch in self._silence_watches.items():
                if name == rule.name:
                    self._silence_watches[name, underlying], alerts = silence.tick(rule, watch, underlying, now)
                    found += alerts
        return found

    def _take_exposure(self, exposure: DealerExposure) -> list[AlertEvent]:
        found: list[AlertEvent] = []
        for rule in self._flips:
            if flip.concerns(rule, exposure):
                key = (rule.name, exposure.underlying)
                watch = self._flip_watches.get(key, flip.FlipWatch())
                self._flip_watches[key], alerts = flip.step(rule, watch, exposure)
                found += alerts
        return found

    def _take_clock(self, clock: Clock, now: float) -> list[AlertEvent]:
        found: list[AlertEvent] = []
        for rule in self._silences:
            key = (rule.name, clock.underlying)
            watch = self._silence_watches.get(key, silence.SilenceWatch())
            self._silence_watches[key], alerts = silence.step(rule, watch, clock, now)
            found += alerts
        return found
