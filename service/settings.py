"""What a deployment chooses, read from the environment once at start.

Servers keep the names that every deployment tool knows (`DATABASE_URL`, `S3_*`, `BROKER_URL`);
everything of our own begins with `LOSSATLAS_`. Passed explicitly to whoever needs it; nothing
reads the environment behind a caller's back.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _server(name: str) -> AliasChoices:
    """The variable's own name, and the field's for construction in code."""
    return AliasChoices(name, name.lower())


class Settings(BaseSettings):
    """One process's settings. Raises ValidationError for a value that cannot be right."""

    model_config = SettingsConfigDict(
        env_prefix="LOSSATLAS_", frozen=True, extra="ignore", populate_by_name=True
    )

    # servers
    database_url: str = Field(
        default="postgresql://lossatlas@127.0.0.1:5432/lossatlas",
        validation_alias=_server("DATABASE_URL"),
    )
    s3_endpoint: str = Field(
        default="http://127.0.0.1:9000",
        validation_alias=_server("S3_ENDPOINT"),
        description="Scheme, host and port; https:// for TLS.",
    )
    s3_access_key: str = Field(default="", validation_alias=_server("S3_ACCESS_KEY"))
    s3_secret_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=_server("S3_SECRET_KEY")
    )
    s3_bucket: str = Field(default="lossatlas", validation_alias=_server("S3_BUCKET"))
    s3_region: str = Field(default="us-east-1", validation_alias=_server("S3_REGION"))
    broker_url: str = Field(
        default="redis://127.0.0.1:6379/0", validation_alias=_server("BROKER_URL")
    )

    # this process
    data_dir: Path = Field(
        default=Path(".lossatlas"), description="Holds the worker's object cache, and `up`'s data."
    )
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    log_json: bool = Field(default=False, description="One JSON object a line.")

    # what callers may send
    max_grid_cells: int = Field(default=1_000_000, ge=1)
    max_object_bytes: int = Field(default=64 << 30, ge=1)
    max_body_bytes: int = Field(default=1 << 20, ge=1024, description="Of a JSON body.")
    upload_part_bytes: int = Field(default=64 << 20, ge=5 << 20, le=5 << 30)
    presign_seconds: int = Field(default=3600, ge=60, le=7 * 86_400)
    requests_per_minute: int = Field(
        default=6000, ge=0, description="For each key in each API process; 0 is no limit."
    )
    metrics_public: bool = Field(
        default=False, description="Serve /metrics to callers without an administrator's key."
    )

    # leases and hints
    lease_seconds: int = Field(default=60, ge=3)
    beat_seconds: float = Field(default=10.0, gt=0)
    cancel_poll_seconds: float = Field(default=2.0, gt=0)
    reaper_seconds: float = Field(default=5.0, gt=0)
    hint_resend_seconds: float = Field(default=15.0, gt=0)

    # workers
    device: str = Field(default="auto", pattern="^(auto|cpu|cuda(:[0-9]+)?)$")
    threads: int = Field(default=1, ge=1, le=1024)
    tile_seconds: float = Field(default=10.0, gt=0)
    unit_seconds: float = Field(default=3600.0, gt=0, description="Time limit of one unit.")
    unit_memory_bytes: int | None = Field(default=None, ge=256 << 20)
    curvature_memory_bytes: int = Field(
        default=2 << 30,
        ge=1 << 20,
        description="Of Hessian-vector products and Krylov bases, beside weights and data.",
    )
    shutdown_seconds: float = Field(
        default=45.0, ge=0, description="How long a unit in hand may go on after SIGTERM."
    )
    cache_bytes: int = Field(default=20 << 30, ge=0)
