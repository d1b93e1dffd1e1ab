"""The dealer-flow service on one screen: trades and greeks by the second in, inventory and exposures out."""

from dealer_flow.flow import EXPOSURE, GREEKS, INVENTORY, TRADES, FlowCore
from dealer_flow.settings import DealerFlowSettings
from streamkit.pipeline import Pipeline


def build(settings: DealerFlowSettings) -> Pipeline:
    """Return the wiring of the service."""
    config = settings.flow_config()
    return Pipeline(
        service="dealer-flow",
        inputs=(TRADES, GREEKS),
        clocks=("market.clock", "options.clock"),
        unit="clocked_second",
        outputs=(INVENTORY, EXPOSURE),
        clock_out="dealer.clock",
        new_core=lambda _partition: FlowCore(config),
    )
