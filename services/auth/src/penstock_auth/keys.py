"""Owns the signing keys of this process: which one signs, which public keys are published, and when they change.

A key signs for 30 days from five minutes after it is made; its public half stays published until the last access token
that it signed is dead.
"""

from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from penstock_auth.domain import (
    ACCESS_TOKEN_LIFETIME_S,
    KEY_LIFETIME_S,
    Principal,
    SigningKey,
    Token,
    keys_to_retire,
    signing_key,
)
from penstock_auth.store import AuthStore
from penstock_kit.clock import Clock
from penstock_kit.ids import random_id
from penstock_kit.tokens import TOKEN_ALGORITHM, TOKEN_AUDIENCE, TOKEN_ISSUER, TOKEN_TYPE, TokenVerifier

__all__ = ["KeyRing", "new_key"]

_US_PER_S = 1_000_000


def new_key(ordinal: int, now_us: int) -> SigningKey:
    """Returns a fresh key."""
    jwk = ECKey.generate_key("P-256", private=True).as_dict(private=True)
    return SigningKey(random_id(), ordinal, {name: str(jwk[name]) for name in ("kty", "crv", "x", "y", "d")}, now_us)


class KeyRing:
    """The signing keys.

    Args:
        store: Where they lie.
        clock: Says which of them signs.

    Attributes:
        verifier: Verifies what any of them signed.
    """

    def __init__(self, store: AuthStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._keys: list[SigningKey] = []
        self.verifier = TokenVerifier(clock)

    async def refresh(self) -> None:
        """Reads the keys from the store. Needed once before anything else."""
        self._keys = await self._store.list_keys()
        self.verifier.set_keys(self.public_jwks())

    async def rotate(self) -> None:
        """Makes a new key when it is time, and removes those that nobody needs any more."""
        await self.refresh()
        now_us = self._clock.now_us()
        newest = self._keys[0]
        if now_us - newest.create_time_us >= KEY_LIFETIME_S * _US_PER_S:
            await self._store.insert_key(new_key(newest.ordinal + 1, now_us))
            await self.refresh()
        retired = keys_to_retire(self._keys, now_us)
        for key in retired:
            await self._store.delete_key(key.id)
        if retired:
            await self.refresh()

    def public_jwks(self) -> dict[str, Any]:
        """Returns the public keys as a key set (RFC 7517), newest first."""
        return {
            "keys": [
                {"kid": key.id, "use": "sig", "alg": TOKEN_ALGORITHM}
                | {name: key.jwk[name] for name in ("kty", "crv", "x", "y")}
                for key in self._keys
            ]
        }

    def sign(self, principal: Principal, token: Token) -> tuple[str, int]:
        """Returns an access token (ES256 JWT) and when it stops working, in microseconds.

        It never outlives the token that it is made from. Times inside a JWT are whole seconds: the end is rounded down.
        """
        now_us = self._clock.now_us()
        expire_s = now_us // _US_PER_S + ACCESS_TOKEN_LIFETIME_S
        if token.expire_time_us is not None:
            expire_s = min(expire_s, token.expire_time_us // _US_PER_S)
        key = signing_key(self._keys, now_us)
        claims = {
            "iss": TOKEN_ISSUER,
            "aud": TOKEN_AUDIENCE,
            "sub": principal.name,
            "knd": int(principal.kind),
            "tok": token.name,
            "prj": sorted(token.scope.project_ids),
            "rol": int(token.scope.role),
            "own": principal.owner,
            "iat": now_us // _US_PER_S,
            "exp": expire_s,
            "jti": random_id(),
        }
        header = {"alg": TOKEN_ALGORITHM, "typ": TOKEN_TYPE, "kid": key.id}
        return jwt.encode(
            header, claims, ECKey.import_key({**key.jwk}), algorithms=[TOKEN_ALGORITHM]
        ), expire_s * _US_PER_S
