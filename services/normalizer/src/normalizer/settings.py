"""Settings of the normalizer, from the environment."""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from normalizer.limits import Limits
from streamkit.settings import ServiceSettings

VenueName = Literal["binance-spot", "binance-usdm", "bitmex", "bybit", "deribit", "okx"]

_DEFAULTS = Limits()


class Settings(ServiceSettings):
    """Every service's settings and GAMMAFLOW_NORMALIZER_*; those shape the outputs, so change them with a new run."""

    venues: Annotated[tuple[VenueName, ...], NoDecode] = Field(
        default=("binance-spot", "binance-usdm", "deribit"),
        validation_alias="GAMMAFLOW_NORMALIZER_VENUES",
        description="the venues the collector writes, separated by commas: one without heartbeats stops the clock",
    )
    book_depth: int = Field(
        default=_DEFAULTS.depth,
        ge=1,
        le=1_000,
        validation_alias="GAMMAFLOW_NORMALIZER_BOOK_DEPTH",
        description="levels a side of a book snapshot, 1 to 1000",
    )
    stale_quote_s: int = Field(
        default=_DEFAULTS.stale_quote_s,
        ge=1,
        validation_alias="GAMMAFLOW_NORMALIZER_STALE_QUOTE_S",
        description="age of a quote above which it is flagged, seconds",
    )
    dedupe_window: int = Field(
        default=_DEFAULTS.dedupe_window,
        ge=1,
        le=1_000_000,
        validation_alias="GAMMAFLOW_NORMALIZER_DEDUPE_WINDOW",
        description="trade ids remembered per venue and underlying, 1 to 1000000",
    )
    buffer_deltas: int = Field(
        default=_DEFAULTS.buffer_deltas,
        ge=1,
        le=100_000,
        validation_alias="GAMMAFLOW_NORMALIZER_BUFFER_DELTAS",
        description="book deltas kept per instrument while its snapshot is awaited, 1 to 100000",
    )

    @field_validator("venues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("venues")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("name at least one venue, each once")
        return tuple(sorted(value))

    def limits(self) -> Limits:
        """Return the limits of the core."""
        return Limits(
            stale_quote_s=self.stale_quote_s,
            dedupe_window=self.dedupe_window,
            buffer_deltas=self.buffer_deltas,
            depth=self.book_depth,
        )
