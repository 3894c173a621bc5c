"""Wire types of trusts and of the exchange of tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.domain.ids import KeyId, ProjectName, TrustId

ClaimName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$")]
ClaimValue = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")
]

_GITHUB: dict[str, Any] = {
    "issuer": "https://token.actions.githubusercontent.com",
    "audience": "https://lossatlas.example.org",
    "project": "vision",
    "role": "submitter",
    "claims": {
        "repository_owner_id": "1234567",
        "repository_id": "7654321",
        "ref": "refs/heads/main",
    },
}
_GITLAB: dict[str, Any] = {
    "issuer": "https://gitlab.example.org",
    "audience": "https://lossatlas.example.org",
    "project": "vision",
    "claims": {"namespace_id": "72", "project_id": "20", "ref_protected": "true"},
}


class NewTrust(BaseModel):
    """A repository whose CI may exchange its tokens."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [_GITHUB, _GITLAB]}
    )

    issuer: Annotated[str, StringConstraints(min_length=1, max_length=500)] = Field(
        description="As the token's `iss` spells it: `https://token.actions.githubusercontent.com`"
        " for GitHub, the instance's address for GitLab."
    )
    audience: ClaimValue = Field(
        description="What the token's `aud` has to be: an address of this service, which no other "
        "service asks for."
    )
    project: ProjectName
    role: Literal["reader", "submitter"] = "submitter"
    claims: dict[ClaimName, ClaimValue] = Field(
        min_length=2,
        max_length=20,
        description="Each has to be in the token with exactly this value. Ids of the repository "
        "and of its owner are required: `repository_id` and `repository_owner_id` (GitHub), or "
        "`project_id` and `namespace_id` (GitLab). `ref`, `environment` and others may follow.",
    )


class TrustOut(BaseModel):
    """A trust."""

    id: TrustId
    issuer: str
    audience: str
    project: str
    role: Literal["reader", "submitter"]
    claims: dict[str, str]
    created_at: datetime
    created_by: str | None
    revoked_at: datetime | None
    links: dict[str, str]


class TrustPage(BaseModel):
    """Newest first."""

    items: list[TrustOut]
    next_cursor: str | None


class Exchange(BaseModel):
    """An identity token to exchange."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"token": "eyJhbGciOi…"}]}
    )

    token: Annotated[str, StringConstraints(min_length=1, max_length=65_536)] = Field(
        description="The CI system's identity token (JWT), which can be exchanged once."
    )
    project: ProjectName | None = Field(
        default=None, description="Needed where the repository is trusted in several projects."
    )


class Exchanged(BaseModel):
    """A key that lives for an hour at most."""

    key: str = Field(description="The secret: `Authorization: Bearer <key>`.")
    key_id: KeyId
    expires_at: datetime
    project: str
    role: Literal["reader", "submitter"]
