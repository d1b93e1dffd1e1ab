"""The core of the dealer-flow service: trades and greeks of a second in, inventory rows and exposures out."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts.records import Clock, OptionGreeks, Trade
from dealer_flow.exposure import ExposureLimits, exposures
from dealer_flow.inventory import InvalidTradeError, Inventory
from dealer_flow.publishing import exposure_record
from dealer_flow.unpacking import chain_greeks
from streamkit.core import ClockedSecond, CloseSecond, Input, Item, Output, Reject

TRADES: Final = "market.trades"
GREEKS: Final = "options.greeks"
INVENTORY: Final = "dealer.inventory"
EXPOSURE: Final = "dealer.exposure"
_MICROSECONDS: Final = 1_000_000
_STATE_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowConfig:
    """What an operator may choose."""

    limits: ExposureLimits = field(default_factory=ExposureLimits)


class FlowCore:
    """Inventory of every (venue, underlying) of one partition that has options.

    A unit first counts its option prints, then drops what has expired by its end, then yields the inventory rows that
    changed and, per greeks record, one exposure per sign model, then closes the second. A unit without greeks only
    counts prints.
    """

    def __init__(self, config: FlowConfig) -> None:
        self._config = config
        self._inventories: dict[tuple[str, str], Inventory] = {}

    def step(self, unit: ClockedSecond) -> Iterator[Item]:
        """Advance by one second of one (venue, underlying)."""
        clock = unit.clock
        prints = [source for source in unit.records.get(TRADES, ()) if source.value.kind == "option"]
        greeks = [source.value for source in unit.records.get(GREEKS, ())]
        rejects: list[Reject] = []
        if prints or greeks:
            inventory = self._inventories.setdefault((clock.venue, clock.underlying), Inventory())
            rejects = list(_count(inventory, prints))
            yield from rejects
            yield from _expire(inventory, clock)
            for record in greeks:
                yield from self._publish(inventory, record, clock)
        yield CloseSecond(
            venue=clock.venue,
            underlying=clock.underlying,
            second=clock.second,
            received_ts=clock.received_ts,
            skipped_seconds=clock.skipped_seconds,
            input_records=sum(map(len, unit.records.values())),
            rejected_records=len(rejects),
        )

    def snapshot(self) -> bytes:
        """Return the state as versioned JSON; floats survive it to the last bit."""
        state = [[*key, inventory.state()] for key, inventory in sorted(self._inventories.items())]
        return json.dumps({"version": _STATE_VERSION, "inventories": state}, separators=(",", ":")).encode()

    def restore(self, state: bytes) -> None:
        """Replace the state. Raises :class:`ValueError` for a version this code does not read."""
        parsed = json.loads(state)
        if parsed["version"] != _STATE_VERSION:
            raise ValueError(
                f"dealer-flow state version {parsed['version']}, this code reads {_STATE_VERSION}: run the version "
                "that wrote it, or replay from the start under a new run id"
            )
        self._inventories = {
            (venue, underlying): Inventory.of_state(inventory) for venue, underlying, inventory in parsed["inventories"]
        }

    def _publish(self, inventory: Inventory, record: OptionGreeks, clock: Clock) -> Iterator[Output]:
        chain, instruments = chain_greeks(record), tuple(record.instruments)
        positions = inventory.positions(instruments, chain)
        timestamp_ms = clock.second * 1000
        for key, row in inventory.changed_rows(instruments, chain, positions, clock):
            yield Output(INVENTORY, key, row, timestamp_ms)
        for sign_model, exposure in exposures(chain, positions, self._config.limits).items():
            quality = inventory.book_quality(sign_model, instruments)
            published = exposure_record(record, sign_model, exposure, quality)
            yield Output(EXPOSURE, clock.underlying, published, timestamp_ms)


def _count(inventory: Inventory, prints: Sequence[Input]) -> Iterator[Reject]:
    for source in prints:
        trade: Trade = source.value
        try:
            inventory.add(trade)
        except InvalidTradeError as error:
            yield Reject(source, "invalid_trade", str(error), trade.underlying)


def _expire(inventory: Inventory, clock: Clock) -> Iterator[Output]:
    for key in inventory.expire((clock.second + 1) * _MICROSECONDS):
        yield Output(INVENTORY, key, None, clock.second * 1000)
