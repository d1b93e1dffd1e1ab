"""What an operator may set, from ``GAMMAFLOW_<NAME>``."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from greeks.pricer import PricerConfig
from streamkit.settings import ServiceSettings

_DEFAULTS = PricerConfig()


class GreeksSettings(ServiceSettings):
    """Settings of every service on the run loop, and those of greeks."""

    option_venues: Annotated[tuple[str, ...], NoDecode] = Field(
        default=tuple(sorted(_DEFAULTS.option_venues)),
        min_length=1,
        description="venues whose option chains are priced, separated by commas",
    )
    max_input_age_s: float = Field(
        default=_DEFAULTS.max_input_age_ms / 1000, gt=0, description="age beyond which an input counts as stale, s"
    )

    @field_validator("option_venues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    def pricer_config(self) -> PricerConfig:
        """Return the settings the core takes."""
        return PricerConfig(
            option_venues=frozenset(self.option_venues), max_input_age_ms=round(self.max_input_age_s * 1000)
        )
