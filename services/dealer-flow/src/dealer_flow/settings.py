"""What an operator may set, from ``GAMMAFLOW_<NAME>``."""

from pydantic import Field

from dealer_flow.exposure import ExposureLimits
from dealer_flow.flow import FlowConfig
from streamkit.settings import ServiceSettings

_DEFAULTS = ExposureLimits()


class DealerFlowSettings(ServiceSettings):
    """Settings of every service on the run loop, and those of dealer-flow."""

    min_coverage: float = Field(
        default=_DEFAULTS.min_coverage,
        ge=0,
        le=1,
        description="least share of open interest that must be priced and fresh, 0 to 1",
    )
    max_spot_age_s: float = Field(
        default=_DEFAULTS.max_spot_age_ms / 1000, gt=0, description="age beyond which spot is not used, s"
    )

    def flow_config(self) -> FlowConfig:
        """Return the settings the core takes."""
        limits = ExposureLimits(min_coverage=self.min_coverage, max_spot_age_ms=self.max_spot_age_s * 1000)
        return FlowConfig(limits=limits)
