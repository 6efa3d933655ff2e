"""Owns what auth is about: projects, principals, grants, tokens, setup links, signing keys, and when each of them is good.

Knows nothing of gRPC or storage. Times are microseconds since 1970 UTC. `version` counts the writes of a record as the
store has it; 0 means that it is not stored yet.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

__all__ = [
    "ACCESS_TOKEN_LIFETIME_S",
    "EVERYTHING",
    "GRANTS_MAX",
    "KEY_ANNOUNCEMENT_S",
    "KEY_LIFETIME_S",
    "PROJECTS_MAX",
    "REVOCATION_FEED_S",
    "SESSION_LIFETIME_S",
    "SETUP_LINK_LIFETIME_S",
    "TOKENS_PER_PRINCIPAL_MAX",
    "CredentialKind",
    "Grant",
    "Principal",
    "PrincipalKind",
    "Project",
    "Role",
    "Scope",
    "SetupLink",
    "SigningKey",
    "Token",
    "keys_to_retire",
    "signing_key",
]

ACCESS_TOKEN_LIFETIME_S = 300
SESSION_LIFETIME_S = 7 * 86_400
SETUP_LINK_LIFETIME_S = 600

REVOCATION_FEED_S = ACCESS_TOKEN_LIFETIME_S + 60
"""How long a revocation is fed to the services: as long as an access token may live, and a minute for clocks that differ."""

KEY_LIFETIME_S = 30 * 86_400
KEY_ANNOUNCEMENT_S = 300
"""How long a new key is published before it signs, so that every service knows it by then."""

# A snapshot of the grants feed holds every project and every grant. With names of the greatest length these make 3 MB, and
# gRPC clients take messages of 4 MiB unless they were told otherwise.
PROJECTS_MAX = 5_000
GRANTS_MAX = 10_000
TOKENS_PER_PRINCIPAL_MAX = 1_000

_S = 1_000_000


class Role(IntEnum):
    """What a principal may do in a project; each contains the ones before it. The values are those of the contract."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3


class PrincipalKind(IntEnum):
    """What a principal is. The values are those of the contract."""

    USER = 1
    SERVICE = 2


class CredentialKind(StrEnum):
    """What a secret is for; the value is its prefix."""

    PERSONAL = "pst"
    SESSION = "pss"
    SERVICE = "pvc"
    SETUP_LINK = "psl"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts: `users/{user}` or `services/{service}`. An owner is administrator of every project and of all else."""

    name: str
    kind: PrincipalKind
    owner: bool


@dataclass(frozen=True, slots=True)
class Project:
    """A project.

    `creation` identifies the intended create (principal and request id), so that its repeat finds this project.
    """

    id: str
    title: str
    description: str
    creation: str
    create_time_us: int
    update_time_us: int
    version: int = 0

    @property
    def name(self) -> str:
        """`projects/{project}`."""
        return f"projects/{self.id}"

    @property
    def etag(self) -> str:
        """Changes with each write."""
        return f"{self.version:x}"


@dataclass(frozen=True, slots=True)
class Grant:
    """A role of a principal in a project."""

    project_id: str
    principal: str
    role: Role
    version: int = 0

    @property
    def name(self) -> str:
        """`projects/{project}/grants/{grant}`, where the grant is named by the user."""
        return f"projects/{self.project_id}/grants/{self.principal.removeprefix('users/')}"


@dataclass(frozen=True, slots=True)
class Scope:
    """How far a token reaches: the ids of its projects (empty: all of its principal's) and the strongest role it lends."""

    project_ids: frozenset[str]
    role: Role

    def covers(self, other: "Scope") -> bool:
        """Whether `other` reaches nowhere that this does not."""
        if other.role > self.role:
            return False
        return not self.project_ids or (bool(other.project_ids) and other.project_ids <= self.project_ids)


EVERYTHING = Scope(frozenset(), Role.ADMIN)
"""The scope of a token that lends all that its principal may do."""


@dataclass(frozen=True, slots=True)
class Token:
    """A personal access token, a session or the credential of a service. The secret is known by its SHA-256 only.

    `heirs_expire_time_us` bounds the life of every token made with this one; None leaves it open. For an expiring personal
    token it is its own end, so that a token lent for an hour cannot leave a successor. A session may mint tokens that
    outlive it, because a person sits behind it, unless its setup link was minted with an expiring token.
    """

    id: str
    kind: CredentialKind
    principal: str
    title: str
    scope: Scope
    secret_sha256: bytes
    create_time_us: int
    expire_time_us: int | None = None
    heirs_expire_time_us: int | None = None
    last_use_time_us: int | None = None
    revoke_time_us: int | None = None
    version: int = 0

    @property
    def name(self) -> str:
        """`tokens/{token}`."""
        return f"tokens/{self.id}"

    def expired(self, now_us: int) -> bool:
        """Whether its time is over."""
        return self.expire_time_us is not None and now_us >= self.expire_time_us

    def good(self, now_us: int) -> bool:
        """Whether it works: neither revoked nor expired."""
        return self.revoke_time_us is None and not self.expired(now_us)


@dataclass(frozen=True, slots=True)
class SetupLink:
    """A one-time secret that becomes a session of `principal` with the reach of the token that minted it.

    `minted_by` is that token's name, empty when the installation itself minted the link.
    """

    id: str
    principal: str
    scope: Scope
    secret_sha256: bytes
    minted_by: str
    expire_time_us: int
    heirs_expire_time_us: int | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private ES256 key as JWK members (RFC 7517). Ordinals count up from 1, one for each rotation."""

    id: str
    ordinal: int
    jwk: dict[str, str]
    create_time_us: int


def signing_key(keys: list[SigningKey], now_us: int) -> SigningKey:
    """Returns the key that signs now: the newest that was announced long enough, else the oldest there is."""
    announced = [key for key in keys if now_us - key.create_time_us >= KEY_ANNOUNCEMENT_S * _S]
    if announced:
        return max(announced, key=lambda key: key.ordinal)
    return min(keys, key=lambda key: key.ordinal)


def keys_to_retire(keys: list[SigningKey], now_us: int) -> list[SigningKey]:
    """Returns the keys whose last access token is dead: those that a successor replaced long enough ago."""
    replaced = now_us - (KEY_ANNOUNCEMENT_S + REVOCATION_FEED_S) * _S
    newest = max((key.ordinal for key in keys if key.create_time_us <= replaced), default=0)
    return [key for key in keys if key.ordinal < newest]
