"""The greeks service on one screen: tickers by the second in, greeks and their clock out."""

from greeks.pricer import GREEKS, TICKERS, GreeksCore
from greeks.settings import GreeksSettings
from streamkit.pipeline import Pipeline


def build(settings: GreeksSettings) -> Pipeline:
    """Return the wiring of the service."""
    config = settings.pricer_config()
    return Pipeline(
        service="greeks",
        inputs=(TICKERS,),
        clocks=("market.clock",),
        unit="clocked_second",
        outputs=(GREEKS,),
        clock_out="options.clock",
        new_core=lambda _partition: GreeksCore(config),
    )
