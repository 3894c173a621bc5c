"""What a deployment chooses, read from the environment once at start.

Servers keep the names that every deployment tool knows (`DATABASE_URL`, `S3_*`, `BROKER_URL`);
everything of our own begins with `LOSSATLAS_`. Passed explicitly to whoever needs it; nothing
reads the environment behind a caller's back.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.domain.rights import RightsRule


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
    s3_public_endpoint: str | None = Field(
        default=None,
        description="How callers see the S3 server, for addresses that they send parts of uploads "
        "to, where that is not S3_ENDPOINT.",
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
    presign_seconds: int = Field(
        default=900, ge=60, le=86_400, description="How long an address for a part holds."
    )
    open_uploads: int = Field(
        default=256,
        ge=1,
        description="Uploads in parts that keys of the same projects may have begun and not "
        "completed.",
    )
    open_upload_bytes: int = Field(
        default=1 << 40, ge=1, description="Of all those together; one alone is always let begin."
    )
    upload_seconds: int = Field(
        default=2 * 86_400, ge=3600, description="Then an upload that nobody completed is given up."
    )
    requests_per_minute: int = Field(
        default=6000, ge=0, description="For each key in each API process; 0 is no limit."
    )
    head_seconds: float = Field(
        default=20.0, gt=0, description="For the head of a request, from its first byte."
    )
    bytes_per_second: float = Field(
        default=512.0,
        ge=0,
        description="The least that a body comes at, and an answer is fetched at.",
    )
    slow_seconds: float = Field(
        default=20.0, gt=0, description="How long a body or an answer may be slower than that."
    )
    connections: int = Field(default=4000, ge=16, description="Of all callers, at once.")
    connections_per_address: int = Field(
        default=500, ge=8, description="At once; trusted proxies have no such limit."
    )
    figures_at_once: int = Field(
        default=2, ge=2, description="Figures, pages and files made from results at once."
    )
    model_checks_at_once: int = Field(
        default=2, ge=2, description="Programs whose structure is checked at once, each a process."
    )
    model_checks_waiting: int = Field(
        default=16, ge=1, description="Of one key; it is told to come again beyond that."
    )
    uploads_at_once: int = Field(
        default=64, ge=4, description="Objects received at once, of one key a quarter of them."
    )
    held_per_key: int = Field(
        default=200, ge=1, description="Answers that wait for a job, and streams of its events."
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="JSON list of addresses and networks whose X-Forwarded-For counts, such as "
        '["10.0.0.0/8"].',
    )
    metrics_public: bool = Field(
        default=False, description="Serve /metrics to callers without an administrator's key."
    )

    # people
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s?#@]+$",
        description="How people reach the service, such as https://lossatlas.example.org; with "
        "https the sessions' cookies are for encrypted connections alone.",
    )
    session_idle_seconds: int = Field(default=12 * 3600, ge=60, description="Then it ends.")
    session_seconds: int = Field(
        default=7 * 86_400, ge=60, description="The longest that a session can be."
    )
    oidc_issuer: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#@]+$",
        description="The organisation's identity provider, as its tokens' `iss` spells it.",
    )
    oidc_client_id: str | None = Field(default=None, min_length=1)
    oidc_client_secret: SecretStr = SecretStr("")
    oidc_scopes: str = "openid profile email"
    oidc_rights: tuple[RightsRule, ...] = Field(
        default=(),
        description="JSON list of rules, the first that fits decides: "
        '[{"claim": "groups", "value": "ml", "role": "submitter", "projects": ["vision"]}]',
    )
    oidc_loopback: bool = Field(
        default=False,
        description="Let identity providers be on this machine, without encryption. For tests.",
    )
    sign_ins_per_minute: int = Field(
        default=60,
        ge=0,
        description="Those that fail, and visits to the identity provider, for each address in "
        "each API process; 0 is no limit.",
    )
    wrong_keys_per_minute: int = Field(
        default=300,
        ge=0,
        description="Keys and sessions that are none, for each address in each API process; 0 is "
        "no limit.",
    )

    # leases and hints
    lease_seconds: int = Field(default=60, ge=3)
    beat_seconds: float = Field(default=10.0, gt=0)
    cancel_poll_seconds: float = Field(default=2.0, gt=0)
    reaper_seconds: float = Field(default=5.0, gt=0)
    sweep_seconds: float = Field(
        default=60.0, gt=0, description="How often the relay looks for uploads to give up."
    )
    hint_resend_seconds: float = Field(default=15.0, gt=0)

    # workers
    device: str = Field(default="auto", pattern="^(auto|cpu|cuda(:[0-9]+)?)$")
    threads: int = Field(default=1, ge=1, le=1024)
    tile_seconds: float = Field(default=10.0, gt=0)
    unit_seconds: float = Field(default=3600.0, gt=0, description="Time limit of one unit.")
    ingest_seconds: float = Field(
        default=60.0, gt=0, description="Time limit of a new model's binding and probing."
    )
    program_memory_bytes: int = Field(
        default=4 << 30,
        ge=1 << 20,
        description="Of all values that a program needs at once for one batch, on a CPU.",
    )
    unit_memory_bytes: int | None = Field(
        default=None,
        ge=256 << 20,
        description="Private memory of a child; none: its share of the machine's.",
    )
    workers_per_machine: int = Field(
        default=1, ge=1, le=1024, description="That share this machine's, or container's, memory."
    )
    confinement: Literal["required", "best-effort"] = Field(
        default="best-effort",
        description="What to do where a child cannot be confined wholly: refuse to compute, or say "
        "so and compute.",
    )
    child_first_user: int = Field(
        default=1_900_000_000,
        ge=1,
        le=2_000_000_000,
        description="Where workers are root, each child takes a user id from here on.",
    )
    curvature_memory_bytes: int = Field(
        default=2 << 30,
        ge=1 << 20,
        description="Of Hessian-vector products and Krylov bases, beside weights and data.",
    )
    shutdown_seconds: float = Field(
        default=45.0, ge=0, description="How long a unit in hand may go on after SIGTERM."
    )
    cache_bytes: int = Field(default=20 << 30, ge=0)
    scratch_bytes: int = Field(
        default=64 << 20,
        ge=0,
        description="Room below which a worker takes no work, in its cache's file system.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for one in given:
            ip_network(one)  # its ValueError says what is wrong
        return given

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Settings:
        if self.oidc_issuer is None:
            return self
        if self.oidc_client_id is None or self.public_url is None or not self.oidc_rights:
            raise ValueError(
                "with LOSSATLAS_OIDC_ISSUER also set LOSSATLAS_OIDC_CLIENT_ID, "
                "LOSSATLAS_OIDC_RIGHTS and LOSSATLAS_PUBLIC_URL"
            )
        if not self.oidc_issuer.startswith("https://") and not self.oidc_loopback:
            raise ValueError("LOSSATLAS_OIDC_ISSUER must be an https address")
        return self

    @property
    def is_https(self) -> bool:
        """Whether people reach the service over encrypted connections."""
        return self.public_url is not None and self.public_url.startswith("https://")
