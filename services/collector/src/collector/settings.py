"""Settings of the collector, from the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from collector.raw_log import LARGEST_FRAME_BYTES
from collector.recorded.catalog import RecordingKind, Selection

Venue = Literal["deribit", "binance-usdm", "binance-spot", "bybit", "okx", "bitmex"]
_PREFIX = "GAMMAFLOW_COLLECTOR_"


class Settings(BaseSettings):
    """What the collector reads at start: its own as GAMMAFLOW_COLLECTOR_<NAME>, those all services share without it.

    The defaults of the URLs are the venues' public mainnet addresses.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore")

    bootstrap_servers: str = Field(
        validation_alias="GAMMAFLOW_BOOTSTRAP_SERVERS", description="brokers as host:port,host:port", min_length=1
    )
    registry_url: str = Field(
        validation_alias="GAMMAFLOW_REGISTRY_URL",
        description="schema registry, Confluent API, http://host:port/path",
        pattern=r"^https?://",
    )
    health_file: Path | None = Field(
        default=None, validation_alias="GAMMAFLOW_HEALTH_FILE", description="heartbeat file, rewritten once a second"
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        validation_alias="GAMMAFLOW_METRICS_HOST",
        description="address the metrics port is bound to",
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        validation_alias="GAMMAFLOW_METRICS_PORT",
        description="port for Prometheus, 0 for none",
    )
    log_format: Literal["json", "console"] = Field(
        default="json", validation_alias="GAMMAFLOW_LOG_FORMAT", description="json or console"
    )

    source: Literal["live", "file"] = Field(default="live", description="live (sockets) or file (recordings)")
    venues: Annotated[tuple[Venue, ...], NoDecode] = Field(
        default=("deribit", "binance-usdm", "binance-spot"), description="venues whose raw topics this process writes"
    )
    underlyings: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("BTC", "ETH"), description="base assets, separated by commas"
    )

    path: str | None = Field(
        default=None, description="folder of recordings, or one file; of an archive any fsspec URL (SOURCE=file)"
    )
    speed: float = Field(default=0.0, ge=0.0, le=100_000.0, description="times real time; 0 is as fast as possible")
    kinds: Annotated[tuple[RecordingKind | Literal["archive"], ...], NoDecode] = Field(
        default=("chain", "trades", "binance"),
        description="recordings to take: chain, trades, binance, feed, tardis; or archive alone",
    )
    files: str = Field(default="*", min_length=1, description="glob on the names of the recordings to take")

    deribit_ws_url: str = Field(default="wss://www.deribit.com/ws/api/v2", description="Deribit's WebSocket")
    deribit_rest_url: str = Field(default="https://www.deribit.com/api/v2", description="Deribit's REST base")
    binance_usdm_ws_url: str = Field(
        default="wss://fstream.binance.com/public",
        description="Binance USDⓈ-M streams; if it ends in /public the rest comes from /market beside it",
    )
    binance_usdm_rest_url: str = Field(default="https://fapi.binance.com", description="Binance USDⓈ-M REST base")
    binance_spot_ws_url: str = Field(default="wss://stream.binance.com:9443", description="Binance spot streams")
    binance_spot_rest_url: str = Field(default="https://api.binance.com", description="Binance spot REST base")
    bybit_ws_url: str = Field(
        default="wss://stream.bybit.com/v5/public", description="Bybit's public WebSocket, before /linear and so on"
    )
    bybit_rest_url: str = Field(default="https://api.bybit.com", description="Bybit REST base, before /v5")
    bybit_option_connections: int = Field(
        default=4, ge=1, le=50, description="connections the options are spread over: about 580 contracts fit on one"
    )
    okx_ws_url: str = Field(default="wss://ws.okx.com:8443/ws/v5/public", description="OKX's public WebSocket")
    okx_rest_url: str = Field(default="https://www.okx.com", description="OKX REST base, before /api/v5")
    bitmex_ws_url: str = Field(default="wss://ws.bitmex.com/realtime", description="BitMEX's WebSocket")
    bitmex_rest_url: str = Field(default="https://www.bitmex.com/api/v1", description="BitMEX REST base")

    max_frame_bytes: int = Field(
        default=LARGEST_FRAME_BYTES,
        ge=1024,
        le=LARGEST_FRAME_BYTES,
        description="a larger frame costs the connection, bytes",
    )
    stale_after_s: float = Field(default=20.0, gt=0.0, description="reconnect after so long without any frame, s")
    silent_after_s: float = Field(default=60.0, gt=0.0, description="renew a channel silent for so long, s")
    reconnect_base_s: float = Field(default=0.5, gt=0.0, description="first back-off is up to twice this, s")
    reconnect_cap_s: float = Field(default=30.0, gt=0.0, description="longest back-off, s")

    @field_validator("venues", "underlyings", "kinds", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("venues", "underlyings", "kinds")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("name at least one, each once")
        return value

    @model_validator(mode="after")
    def _file_needs_path(self) -> "Settings":
        if self.source == "file" and self.path is None:
            raise ValueError(f"{_PREFIX}PATH is not set, but SOURCE=file needs a folder of recordings")
        return self

    @model_validator(mode="after")
    def _archive_alone(self) -> "Settings":
        if self.archive and len(self.kinds) > 1:
            raise ValueError(f"{_PREFIX}KINDS names archive beside others: an archive is played as it is, alone")
        return self

    @property
    def archive(self) -> bool:
        """Return whether the ``file`` source plays an archive."""
        return "archive" in self.kinds

    @property
    def selection(self) -> Selection:
        """Return which recordings the ``file`` source takes."""
        kinds = tuple(kind for kind in self.kinds if kind != "archive")
        return Selection(kinds, self.files, self.venues, self.underlyings)
