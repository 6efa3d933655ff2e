"""Access tokens: what they say, how they are verified, and the guard of a service that follows auth over gRPC.

An access token is a JWT (RFC 7519) signed with ES256, its header `typ` being `at+jwt` (RFC 9068) and `kid` naming the key.
Claims: `iss` and `aud` "penstock", `sub` principal, `knd` kind of principal, `tok` name of the token that it was made from,
`prj` ids of the projects that it reaches (empty: all of the principal), `rol` strongest role, `own` whether the principal
owns the installation, `iat`, `exp`, `jti`.
"""

import asyncio
import hashlib
import json
import logging
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from penstock.api.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from penstock_kit.access import Caller, Grants, KeyUnknown, PrincipalKind, Role
from penstock_kit.clock import Clock
from penstock_kit.errors import Unauthenticated, Unavailable
from penstock_kit.names import ProjectName

__all__ = [
    "ACCESS_FEED_AGE_S_MAX",
    "ISSUED_SKEW_S_MAX",
    "NEWER_SNAPSHOT_WAIT_S_MAX",
    "TOKEN_ALGORITHM",
    "TOKEN_AUDIENCE",
    "TOKEN_ISSUER",
    "TOKEN_TYPE",
    "AccessFeedStale",
    "RemoteGuard",
    "TokenExpired",
    "TokenInvalid",
    "TokenVerifier",
]

TOKEN_ISSUER = "penstock"  # noqa: S105 - a name, not a secret
TOKEN_AUDIENCE = "penstock"  # noqa: S105 - a name, not a secret
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type, not a secret
TOKEN_ALGORITHM = "ES256"  # noqa: S105 - an algorithm, not a secret

ACCESS_FEED_AGE_S_MAX = 30.0
"""Grants that were not confirmed for longer decide nothing any more: everybody is refused."""

ISSUED_SKEW_S_MAX = 30
"""How far the clock of auth may be ahead of ours."""

NEWER_SNAPSHOT_WAIT_S_MAX = 2.0
"""How long a project or a grant that is not known may take to arrive: its creation may be a moment ago."""

_FEED_SILENCE_S_MAX = 20.0  # two beats of the contract
_KEY_REFETCH_INTERVAL_S = 5.0
_RECONNECT_S_MIN = 0.1
_RECONNECT_S_MAX = 2.0
_CALL_TIMEOUT_S = 5.0
_VERIFIED_TOKENS_MAX = 10_000
_TOKEN_CHARS_MAX = 8_192

_log = logging.getLogger(__name__)


class TokenInvalid(Unauthenticated):
    """The access token is not one of this installation."""

    reason = "TOKEN_INVALID"


class TokenExpired(Unauthenticated):
    """The access token was valid until a while ago: exchange for a new one."""

    reason = "TOKEN_EXPIRED"


class AccessFeedStale(Unavailable):
    """The service has not heard from auth for too long to know who may do what."""

    reason = "ACCESS_FEED_STALE"


class TokenVerifier:
    """Verifies access tokens with the public keys of auth, and remembers those that passed until they run out.

    Args:
        clock: Says which tokens have run out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[str, ECKey] = {}
        self._verified: dict[bytes, tuple[Caller, int]] = {}

    def set_keys(self, jwks: Mapping[str, Any]) -> None:
        """Replaces the keys by those of a key set (RFC 7517). Tokens of keys that are gone are not valid from now on."""
        keys = {
            str(key["kid"]): ECKey.import_key(key)
            for key in jwks["keys"]
            if key.get("kty") == "EC" and key.get("crv") == "P-256" and "kid" in key
        }
        if {kid: key.as_dict(private=False) for kid, key in keys.items()} != {
            kid: key.as_dict(private=False) for kid, key in self._keys.items()
        }:
            self._keys = keys
            self._verified.clear()

    def verify(self, bearer: str) -> Caller:
        """Returns who holds an access token. Raises `TokenInvalid`, `TokenExpired`, `KeyUnknown`."""
        digest = hashlib.sha256(bearer.encode()).digest()
        now_s = self._clock.now_us() / 1_000_000
        known = self._verified.get(digest)
        if known is None:
            known = self._verify(bearer, now_s)
            if len(self._verified) >= _VERIFIED_TOKENS_MAX:
                del self._verified[next(iter(self._verified))]  # the oldest
            self._verified[digest] = known
        caller, expires_s = known
        if now_s >= expires_s:
            del self._verified[digest]
            raise TokenExpired("The access token has expired: exchange the token for a new one.")
        return caller

    def _verify(self, bearer: str, now_s: float) -> tuple[Caller, int]:
        invalid = TokenInvalid(
            "The access token is not valid. A personal access token (pst_...) has to be exchanged for one."
        )
        if len(bearer) > _TOKEN_CHARS_MAX:
            raise invalid
        try:
            header = jws.extract_compact(bearer.encode()).headers()
            if header.get("typ") != TOKEN_TYPE or header.get("alg") != TOKEN_ALGORITHM or "crit" in header:
                raise invalid
            key = self._keys.get(header.get("kid", ""))
            if key is None:
                raise KeyUnknown("The access token is signed with a key that is not known here.")
            claims = jwt.decode(bearer, key, algorithms=[TOKEN_ALGORITHM]).claims
            return self._read(claims, now_s)
        except (JoseError, ValueError, TypeError, KeyError):
            # What was wrong helps an attacker more than anybody else.
            raise invalid from None

    @staticmethod
    def _read(claims: Mapping[str, Any], now_s: float) -> tuple[Caller, int]:
        texts = [claims["sub"], claims["tok"], claims["jti"], *claims["prj"]]
        numbers = [claims["iat"], claims["exp"], claims["knd"], claims["rol"]]
        if claims["iss"] != TOKEN_ISSUER or claims["aud"] != TOKEN_AUDIENCE:
            raise ValueError
        if not all(isinstance(text, str) and text for text in texts) or not isinstance(claims["prj"], list):
            raise ValueError
        if not all(type(number) is int for number in numbers) or not isinstance(claims["own"], bool):
            raise ValueError
        if claims["iat"] > now_s + ISSUED_SKEW_S_MAX:
            raise ValueError
        caller = Caller(
            principal=claims["sub"],
            kind=PrincipalKind(claims["knd"]),
            token=claims["tok"],
            projects=frozenset(claims["prj"]),
            role=Role(claims["rol"]),
            owner=claims["own"],
        )
        return caller, claims["exp"]


class RemoteGuard:
    """The guard of a service: follows the keys, grants and revocations of auth over gRPC, and decides by itself.

    Args:
        auth_address: `host:port` of the auth service.
        service_credential_file: Holds the secret of the service's principal. It may appear after the start.
        clock: The time.
        channel_credentials: For TLS to auth; None means that the way to it is trusted (loopback).
    """

    def __init__(
        self,
        auth_address: str,
        service_credential_file: Path,
        clock: Clock,
        *,
        channel_credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._auth_address = auth_address
        self._service_credential_file = service_credential_file
        self._clock = clock
        self._channel_credentials = channel_credentials
        self._verifier = TokenVerifier(clock)
        self._grants = Grants()
        self._confirmed_s = float("-inf")
        self._changed = asyncio.Event()
        self._stub: Any = None
        self._keys_fetched_s = float("-inf")
        self._key_fetches = 0
        self._fetching_keys = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether it can decide now."""
        return self._clock.monotonic_s() - self._confirmed_s <= ACCESS_FEED_AGE_S_MAX

    async def start(self) -> None:
        """Begins to follow auth, in the background, for as long as it takes to reach it. Does nothing the second time."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="access feed")

    async def close(self) -> None:
        """Stops following."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
            self._following = None

    def authenticate(self, bearer: str) -> Caller:
        """Returns who holds an access token.

        Raises `TokenInvalid`, `TokenExpired`, `TokenRevoked`, `KeyUnknown`, `AccessFeedStale`.
        """
        grants = self._fresh_grants()
        try:
            caller = self._verifier.verify(bearer)
        except KeyUnknown as error:
            raise KeyUnknown(error.message, self._refetch_keys) from None
        grants.check_token(caller)
        return caller

    async def authorize(self, caller: Caller, permission: str, project: str | None) -> None:
        """Lets a caller pass, at the latest after `NEWER_SNAPSHOT_WAIT_S_MAX` if the project or grant is not known yet.

        Raises `PermissionDenied`, `ProjectNotFound`, `TokenRevoked`, `AccessFeedStale`.
        """
        grants = self._fresh_grants()
        if not grants.knows(caller, project):
            with suppress(TimeoutError):
                async with asyncio.timeout(NEWER_SNAPSHOT_WAIT_S_MAX):
                    while not grants.knows(caller, project):
                        await self._changed.wait()
                        grants = self._fresh_grants()
        grants.check(caller, permission, project)

    def _fresh_grants(self) -> Grants:
        if not self.ready:
            raise AccessFeedStale("This service has not heard from the auth service for too long: try again later.")
        return self._grants

    async def _follow(self) -> None:
        pause_s = _RECONNECT_S_MIN
        while True:
            connected_s = self._confirmed_s
            try:
                await self._follow_once()
                problem = "the stream ended"
            except grpc.aio.AioRpcError as error:
                problem = f"{error.code().name}: {error.details()}"
            except (OSError, ValueError) as error:
                problem = repr(error)
            except Exception:
                _log.exception("Following the access feed failed")
                problem = "see above"
            if self._confirmed_s != connected_s:
                pause_s = _RECONNECT_S_MIN
                _log.warning("The access feed was cut off: %s. Connecting again", problem)
            else:
                _log.debug("The access feed cannot be reached: %s", problem)
            # All services lose a restarting auth at the same moment: they must not come back at the same one.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, no secret
            pause_s = min(pause_s * 2, _RECONNECT_S_MAX)

    async def _follow_once(self) -> None:
        secret = (await asyncio.to_thread(self._service_credential_file.read_text)).strip()
        async with self._channel() as channel:
            stub: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
            exchanged = await stub.ExchangeToken(
                auth_service_pb2.ExchangeTokenRequest(secret=secret), timeout=_CALL_TIMEOUT_S
            )
            await self._fetch_keys(stub)
            self._stub = stub
            feed = stub.WatchGrants(
                auth_service_pb2.WatchGrantsRequest(),
                metadata=(("authorization", f"Bearer {exchanged.access_token}"),),
            )
            messages = aiter(feed)
            try:
                self._take_snapshot(await self._next(messages))
                while True:
                    message = await self._next(messages)
                    if message.snapshot:
                        self._take_snapshot(message)
                    self._confirmed_s = self._clock.monotonic_s()
            except StopAsyncIteration:
                return
            finally:
                self._stub = None
                feed.cancel()

    def _channel(self) -> grpc.aio.Channel:
        # A pool of its own: a new attempt is a new connection, not one that waits for the backoff of the last.
        options = [("grpc.use_local_subchannel_pool", 1)]
        if self._channel_credentials is None:
            return grpc.aio.insecure_channel(self._auth_address, options)
        return grpc.aio.secure_channel(self._auth_address, self._channel_credentials, options)

    async def _fetch_keys(self, stub: Any) -> None:
        response = await stub.GetKeys(auth_service_pb2.GetKeysRequest(), timeout=_CALL_TIMEOUT_S)
        self._verifier.set_keys(json.loads(response.jwks_json))
        self._keys_fetched_s = self._clock.monotonic_s()
        self._key_fetches += 1

    async def _refetch_keys(self) -> bool:
        fetches = self._key_fetches
        async with self._fetching_keys:
            # Tokens with invented key ids must not turn into a load on auth.
            if self._stub is not None and self._clock.monotonic_s() - self._keys_fetched_s >= _KEY_REFETCH_INTERVAL_S:
                with suppress(grpc.aio.AioRpcError):
                    await self._fetch_keys(self._stub)
        return self._key_fetches > fetches

    @staticmethod
    async def _next(messages: Any) -> Any:
        async with asyncio.timeout(_FEED_SILENCE_S_MAX):
            return await anext(messages)

    def _take_snapshot(self, message: Any) -> None:
        if not message.snapshot:
            raise ValueError("the access feed began without a snapshot")
        self._grants = Grants(
            roles={(grant.name.split("/")[1], grant.principal): Role(grant.role) for grant in message.grants},
            projects=frozenset(ProjectName.parse(name).project for name in message.projects),
            owners=frozenset(message.owners),
            revoked_tokens=frozenset(message.revoked_tokens),
        )
        self._confirmed_s = self._clock.monotonic_s()
        self._changed.set()
        self._changed = asyncio.Event()
