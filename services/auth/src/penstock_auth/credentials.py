"""Owns the format of secrets, and the files in which the installation keeps the secrets that it gave to itself.

A secret reads `<kind>_<id, 32 hex digits>_<64 hex digits>`: the id finds the record, the rest (256 random bits) proves it.
The bits are random and many, so a plain SHA-256 keeps them safe at rest; a slow hash would add nothing.
"""

import hashlib
import hmac
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from penstock_auth.domain import CredentialKind
from penstock_auth.errors import StartError
from penstock_kit.ids import random_id

__all__ = ["Secret", "mint_secret", "parse_secret", "read_secret_file", "write_secret_file"]

_SECRET_BYTES = 32
_FILE_BYTES_MAX = 4096

_SECRET_RE = re.compile(r"(?P<kind>pst|pss|pvc|psl)_(?P<id>[0-9a-f]{32})_[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret and what can be read off it. Its text is kept out of `repr`, which ends up in logs."""

    kind: CredentialKind
    id: str
    text: str

    @property
    def sha256(self) -> bytes:
        """What is stored of it."""
        return hashlib.sha256(self.text.encode()).digest()

    def proves(self, sha256: bytes) -> bool:
        """Whether it is the one with this digest, in constant time."""
        return hmac.compare_digest(self.sha256, sha256)

    def __repr__(self) -> str:
        return f"Secret({self.kind.value}_{self.id})"


def mint_secret(kind: CredentialKind) -> Secret:
    """Returns a new secret with a new id."""
    secret_id = random_id()
    return Secret(kind, secret_id, f"{kind.value}_{secret_id}_{secrets.token_hex(_SECRET_BYTES)}")


def parse_secret(text: str) -> Secret | None:
    """Reads a secret; None if it is malformed."""
    match = _SECRET_RE.match(text)
    return None if match is None else Secret(CredentialKind(match["kind"]), match["id"], text)


def read_secret_file(path: Path) -> Secret | None:
    """Reads a credential file; None if it is missing or holds no secret. Raises `StartError` if it may not be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(
            f"Cannot read the credential file {path}: {error.strerror}. Check its owner and mode."
        ) from error
    return parse_secret(content.decode("ascii", "replace").strip())


def write_secret_file(path: Path, secret: Secret) -> None:
    """Writes a credential file, mode 0600, whole or not at all. Raises `StartError` if that is impossible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp makes it 0600
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secret.text + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StartError(
            f"Cannot write the credential file {path}: {error.strerror}. Make its directory writable, or choose another file."
        ) from error
