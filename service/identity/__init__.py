"""What others say of who somebody is: identity providers, their keys and their tokens."""

from service.identity.provider import Provider, Providers
from service.identity.tokens import Claims, issuer_of, verified

__all__ = ["Claims", "Provider", "Providers", "issuer_of", "verified"]
