"""Records of what happened at a moment: trades, liquidations, funding payments, reference data."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from contracts.records import Funding, Instrument, Liquidation, Trade
from normalizer.events import FundingPrint, InstrumentSpec, LiquidationPrint, Listing, Side, TradePrint
from normalizer.instrument import on_the_hour
from normalizer.limits import Limits
from normalizer.quality import flags


class Circumstances(NamedTuple):
    """What a print does not say of itself: whose it is, when it was received, and the figures to judge it by."""

    venue: str
    received_ts: int
    limits: Limits


_POSITION_OF_ORDER: Final = {"sell": "long", "buy": "short"}
_OPPOSITE: Final[dict[Side, Side]] = {"buy": "sell", "sell": "buy"}


def trade_record(
    trade: TradePrint, spec: InstrumentSpec, circumstances: Circumstances, raised: tuple[str, ...]
) -> Trade:
    """Return the trade with the flags the state ``raised`` and those that its fields call for."""
    row: dict[str, Any] = {
        "venue": circumstances.venue,
        "instrument": spec.instrument,
        "underlying": spec.underlying,
        "kind": spec.kind,
        "exchange_ts": trade.exchange_ts,
        "received_ts": circumstances.received_ts,
        "trade_id": trade.trade_id,
        "trade_seq": trade.trade_seq,
        "taker_side": trade.taker_side,
        "price": trade.price,
        "amount_base": trade.amount_base,
        "notional_usd": trade.notional_usd,
        "iv": trade.iv,
        "mark_price": trade.mark_price,
        "index_price": trade.index_price,
        "liquidation": trade.liquidation,
        "liquidated_side": trade.liquidated_side,
        "block_trade_id": trade.block_trade_id,
        "block_leg_count": trade.block_leg_count,
        "combo_id": trade.combo_id,
        "combo_trade_id": trade.combo_trade_id,
        "block_rfq_id": trade.block_rfq_id,
    }
    return Trade(**row, quality=flags("Trade", row, circumstances.limits, raised))


def liquidation_record(
    print_: LiquidationPrint,
    spec: InstrumentSpec,
    circumstances: Circumstances,
    raised: tuple[str, ...],
    *,
    source: str,
) -> Liquidation:
    """Return the liquidation; ``source`` is feed or trade. An order that sells closes a long."""
    row: dict[str, Any] = {
        "venue": circumstances.venue,
        "instrument": spec.instrument,
        "underlying": spec.underlying,
        "exchange_ts": print_.exchange_ts,
        "received_ts": circumstances.received_ts,
        "liquidation_id": print_.liquidation_id,
        "liquidated_side": _POSITION_OF_ORDER[print_.order_side],
        "price": print_.price,
        "amount_base": print_.amount_base,
        "notional_usd": print_.notional_usd,
        "censored": print_.censored,
        "source": source,
    }
    return Liquidation(**row, quality=flags("Liquidation", row, circumstances.limits, raised))


def tagged_liquidations(trade: TradePrint, spec: InstrumentSpec) -> Iterator[LiquidationPrint]:
    """Yield a tagged print as a liquidation, once per liquidated side, priced in USD.

    None if that takes an index price that the print does not have (a coin-priced option).
    """
    in_coin = spec.kind == "option" and not spec.linear
    index_price = trade.index_price if in_coin else 1.0
    if trade.amount_base is None or index_price is None:
        return
    for role, side in (("taker", trade.taker_side), ("maker", _OPPOSITE[trade.taker_side])):
        if trade.liquidation in {role, "both"}:
            yield LiquidationPrint(
                instrument=trade.instrument,
                exchange_ts=trade.exchange_ts,
                liquidation_id=f"{trade.trade_id}-{role}",
                order_side=side,
                price=trade.price * index_price,
                amount_base=trade.amount_base,
                notional_usd=trade.notional_usd,
                censored=False,
            )


def funding_record(
    funding: FundingPrint, spec: InstrumentSpec, circumstances: Circumstances, raised: tuple[str, ...]
) -> Funding:
    """Return the payment, its settlement time rounded to the hour."""
    row: dict[str, Any] = {
        "venue": circumstances.venue,
        "instrument": spec.instrument,
        "underlying": spec.underlying,
        "exchange_ts": funding.exchange_ts,
        "received_ts": circumstances.received_ts,
        "settled_ts": on_the_hour(funding.settled_ts),
        "rate": funding.rate,
        "period_hours": funding.period_hours,
        "mark_price": funding.mark_price,
    }
    return Funding(**row, quality=flags("Funding", row, circumstances.limits, raised))


def instrument_record(listing: Listing, *, venue: str, received_ts: int) -> Instrument | None:
    """Return the reference data as the contract has it; None if the contract size, which it must have, is not there."""
    spec = listing.spec
    if listing.contract_size is None:
        return None
    return Instrument(
        venue=venue,
        instrument=spec.instrument,
        underlying=spec.underlying,
        kind=spec.kind,
        exchange_ts=listing.exchange_ts,
        received_ts=received_ts,
        state=listing.state,
        linear=spec.linear,
        quote_currency=listing.quote_currency,
        settlement_currency=listing.settlement_currency,
        contract_size=listing.contract_size,
        price_tick=listing.price_tick,
        amount_step=listing.amount_step,
        strike=spec.strike,
        option_type=spec.option_type,
        listed_ts=listing.listed_ts,
        expiry_ts=spec.expiry_ts,
    )
