"""The project's secrets: the API keys, and what tokens and URLs are signed with."""

import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

FILE = "keys.json"


@dataclass(frozen=True)
class Keys:
    """One project's keys. `publishable` may be shown to everybody, nothing else may."""

    publishable: str
    secret: str
    jwk: dict[str, str]
    """The private ES256 key of access tokens, with its `kid`."""
    url_secret: str
    """The HS256 secret of signed URLs; theirs alone, so that no token passes for the other."""
    accepted: tuple[str, ...] = ()
    """The secret keys that are taken, while they are changed; none: `secret` alone."""

    def is_secret(self, key: str) -> bool:
        """Whether this is a secret key that is taken now."""
        return key in (self.accepted or (self.secret,))

    def public_jwks(self) -> dict[str, Any]:
        """What `/.well-known/jwks.json` publishes."""
        public = {name: value for name, value in self.jwk.items() if name != "d"}
        return {"keys": [public | {"alg": "ES256", "use": "sig", "key_ops": ["verify"]}]}

    def sign_token(self, claims: dict[str, Any]) -> str:
        """An access token with these claims."""
        key = jwt.PyJWK(self.jwk, algorithm="ES256").key
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": self.jwk["kid"]})

    def read_token(self, token: str) -> dict[str, Any]:
        """The claims of an access token of ours; raises jwt.PyJWTError."""
        key = jwt.PyJWK(self.public_jwks()["keys"][0], algorithm="ES256").key
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["ES256"],
            audience="authenticated",
            options={"require": ["exp", "sub", "role"]},
        )
        return claims

    def sign_url(self, url: str, seconds: int) -> str:
        """The token that opens one object, `bucket/path`, for a while."""
        now = int(time.time())
        return jwt.encode({"url": url, "iat": now, "exp": now + seconds}, self.url_secret, "HS256")

    def read_url_token(self, token: str) -> dict[str, Any]:
        """The claims of such a token; raises jwt.PyJWTError."""
        claims: dict[str, Any] = jwt.decode(
            token, self.url_secret, algorithms=["HS256"], options={"require": ["exp", "url"]}
        )
        return claims


def load_keys(data: Path) -> Keys:
    """The keys kept in the folder `data`; made when they are first asked for.

    Two processes may ask at once: both get those of the first.
    """
    path = data / FILE
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        part = data / f"{FILE}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(_new_keys()), file)
        try:
            path.hardlink_to(part)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return Keys(**json.loads(path.read_text()))


def _new_keys() -> Keys:
    jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    return Keys(
        publishable=f"sb_publishable_{secrets.token_urlsafe(24)}",
        secret=f"sb_secret_{secrets.token_urlsafe(24)}",
        jwk={name: str(value) for name, value in jwk.items()} | {"kid": secrets.token_hex(16)},
        url_secret=secrets.token_urlsafe(32),
    )
