"""Rules that give people of an identity provider a role here, by what it says of them.

The first rule that fits decides, so that no two rules add up to more than either gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.domain.ids import ProjectName


class RightsRule(BaseModel):
    """Whoever has this value in this claim has this role in these projects.

    Attributes:
        claim: a name, or a path with dots such as `realm_access.roles`; None fits everybody whom
            the provider signs in.
        value: equal to the claim, or in its list.
        projects: None for all.
        can_promote: whether they may move aliases.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: str | None = Field(default=None, min_length=1, max_length=200)
    value: str | None = Field(default=None, min_length=1, max_length=500)
    role: Literal["reader", "submitter", "admin"]
    projects: tuple[ProjectName, ...] | None = Field(default=None, min_length=1, max_length=1000)
    can_promote: bool = False

    @model_validator(mode="after")
    def _coherent(self) -> RightsRule:
        if (self.claim is None) != (self.value is None):
            raise ValueError("claim and value go together")
        if self.role == "admin" and self.projects is not None:
            raise ValueError("administrators are of all projects; leave projects out")
        if self.role == "reader" and self.can_promote:
            raise ValueError("readers move no aliases")
        return self

    def fits(self, claims: Mapping[str, Any]) -> bool:
        """Whether these claims have the value."""
        if self.claim is None:
            return True
        if self.claim == "email" and claims.get("email_verified") is not True:
            # anybody may say that an address is theirs
            return False
        found = claims.get(self.claim, _within(claims, self.claim.split(".")))
        return self.value == found or (isinstance(found, list) and self.value in found)


def rights_of(rules: Iterable[RightsRule], claims: Mapping[str, Any]) -> RightsRule | None:
    """The first rule that fits these claims; None gives no access."""
    return next((rule for rule in rules if rule.fits(claims)), None)


def _within(claims: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(claims, Mapping):
            return None
        claims = claims.get(name)
    return claims
