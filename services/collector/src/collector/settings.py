"""Settings of the collector, from the environment; every problem is reported at once."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from collector.recorded.catalog import RecordingKind, Selection

Venue = Literal["deribit", "binance-usdm", "binance-spot"]
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What the collector reads at start; names are prefixed GAMMAFLOW_COLLECTOR_ unless said otherwise.

    The defaults of the URLs are the venues' public mainnet addresses.
    """

    model_config = SettingsConfigDict(env_prefix="GAMMAFLOW_COLLECTOR_", frozen=True, extra="ignore")

    bootstrap_servers: str = Field(validation_alias="GAMMAFLOW_BOOTSTRAP_SERVERS")
    registry_url: str = Field(validation_alias="GAMMAFLOW_REGISTRY_URL")
    health_file: Path | None = Field(default=None, validation_alias="GAMMAFLOW_HEALTH_FILE")
    metrics_port: int = Field(default=0, ge=0, le=65535, validation_alias="GAMMAFLOW_METRICS_PORT")

    source: Literal["live", "file"] = "live"
    venues: Annotated[tuple[Venue, ...], NoDecode] = ("deribit", "binance-usdm", "binance-spot")
    underlyings: Names = ("BTC", "ETH")

    path: Path | None = None
    speed: float = Field(default=0.0, ge=0.0, le=100_000.0)
    kinds: Annotated[tuple[RecordingKind, ...], NoDecode] = ("chain", "trades", "binance")
    files: str = "*"

    deribit_ws_url: str = "wss://www.deribit.com/ws/api/v2"
    deribit_rest_url: str = "https://www.deribit.com/api/v2"
    binance_usdm_ws_url: str = "wss://fstream.binance.com/public"
    binance_usdm_rest_url: str = "https://fapi.binance.com"
    binance_spot_ws_url: str = "wss://stream.binance.com:9443"
    binance_spot_rest_url: str = "https://api.binance.com"

    max_frame_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    stale_after_s: float = Field(default=20.0, gt=0.0)
    silent_after_s: float = Field(default=60.0, gt=0.0)
    reconnect_base_s: float = Field(default=0.5, gt=0.0)
    reconnect_cap_s: float = Field(default=30.0, gt=0.0)

    @field_validator("venues", "underlyings", "kinds", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("venues", "underlyings", "kinds")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("name at least one, each once, separated by commas")
        return value

    @model_validator(mode="after")
    def _file_needs_path(self) -> "Settings":
        if self.source == "file" and self.path is None:
            raise ValueError("SOURCE=file needs GAMMAFLOW_COLLECTOR_PATH, a folder of recordings")
        return self

    @property
    def selection(self) -> Selection:
        """Return which recordings the ``file`` source takes."""
        return Selection(self.kinds, self.files, self.venues, self.underlyings)
