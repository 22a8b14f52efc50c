"""Signing keys of a project, its tokens, and what it publishes, without any stack."""

from collections.abc import Callable, Collection
from typing import Any
from uuid import uuid4

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from vton.adapters.supabase.keys import KeySet
from vton.adapters.supabase.tokens import SupabaseTokens
from vton.errors import Problem

URL = "https://abcdefghijklmnopqrst.supabase.co"
SECRET = "a-legacy-secret-of-at-least-32-characters"
NOW = 1_800_000_000
ALGORITHMS = {"ES256": ECAlgorithm, "RS256": RSAAlgorithm}
RSA_KEY = rsa.generate_private_key(65537, 2048)


class Signer:
    """A signing key of a project's Auth."""

    def __init__(self, algorithm: str = "ES256", kid: str = "") -> None:
        self.algorithm, self.kid = algorithm, kid or str(uuid4())
        self.key = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else RSA_KEY

    @property
    def jwk(self) -> dict[str, Any]:
        """What the project publishes of it, as Supabase does."""
        public = ALGORITHMS[self.algorithm].to_jwk(self.key.public_key(), as_dict=True)
        extra = {"kid": self.kid, "alg": self.algorithm, "use": "sig", "ext": True}
        return {**public, **extra, "key_ops": ["verify"]}

    @property
    def pem(self) -> bytes:
        """The public key as a file."""
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        """A token."""
        return jwt.encode(claims, self.key, self.algorithm, headers={"kid": self.kid, **headers})


def claims(**changes: Any) -> dict[str, Any]:
    """What Supabase Auth says in a token; None leaves a claim out."""
    everything = {
        "iss": f"{URL}/auth/v1",
        "sub": "7b0b4b5e-5e44-4a5c-8f6e-0b3f6d9a8c11",
        "aud": "authenticated",
        "exp": NOW + 3600,
        "iat": NOW,
        "email": "somebody@example.com",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"email": "somebody@example.com", "email_verified": True},
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": NOW}],
        "session_id": "3f0b8c1e-2f0f-4d0e-9b55-6d8f2d3f0c2a",
        "is_anonymous": False,
        **changes,
    }
    return {name: value for name, value in everything.items() if value is not None}


class World:
    """A clock, and what a project publishes: keys, or nothing while it is away."""

    def __init__(self, *signers: Signer) -> None:
        self.time = float(NOW)
        self.published: list[Any] | None = [signer.jwk for signer in signers]
        self.fetches = 0

    def clock(self) -> float:
        """What time it is."""
        return self.time

    def fetch(self) -> dict[str, Any]:
        """The key set, asked for once more."""
        self.fetches += 1
        if self.published is None:
            raise requests.ConnectTimeout
        return {"keys": self.published}

    def keys(self) -> KeySet:
        """What reads it; a thread's work is done at once."""
        return KeySet(self.fetch, self.clock, spawn=lambda work: work())

    def tokens(self, secret: str = "", issuers: Collection[str] = ()) -> SupabaseTokens:
        """What checks tokens of this world."""
        return SupabaseTokens(URL, secret, issuers, self.keys(), self.clock, self.clock)


def refusal(check: Callable[[], object]) -> str:
    """The code that a check is refused with."""
    with pytest.raises(Problem) as caught:
        check()
    return caught.value.code
