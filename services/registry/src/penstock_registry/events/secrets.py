"""Encrypts what webhooks sign with and the tokens of CI systems, which lie in the document store. Owns the keys.

A sealed secret is a token of Fernet: AES-128 in CBC mode with HMAC-SHA256 (github.com/fernet/spec). The keys are in a file of
their own, one per line: the first one seals, and all of them open, so a key is replaced by a new one above it.
"""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from penstock_kit.settings import SettingsError
from penstock_kit.stores.documents import Collection, DocumentExists, DocumentStore, VersionConflict

__all__ = ["KEY_CHECK_COLLECTION", "SecretBox", "SecretUnreadable", "check_keys", "read_keys"]

KEY_CHECK_COLLECTION: Final = Collection("key_check")
"""Holds one document, which only the right keys open."""

_KEY_CHECK: Final = "key_check"
_KEY_FILE_BYTES_MAX: Final = 10_000


class SecretUnreadable(Exception):
    """A secret was sealed with a key that is not there."""


class SecretBox:
    """Seals and opens secrets.

    Args:
        keys: Of Fernet, the one that seals first; at least one.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._newest = Fernet(keys[0])
        self._all = MultiFernet([Fernet(key) for key in keys])

    def seal(self, secret: bytes) -> str:
        """Encrypts a secret."""
        return self._newest.encrypt(secret).decode()

    def open(self, sealed: str) -> bytes:
        """Returns what was sealed. Raises `SecretUnreadable`."""
        try:
            return self._all.decrypt(sealed)
        except InvalidToken:
            raise SecretUnreadable("It was sealed with a key that is not there.") from None

    def renewed(self, sealed: str) -> str:
        """A sealed secret under the first key: itself if it is already. Raises `SecretUnreadable`."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return self.seal(self.open(sealed))
        return sealed


def read_keys(file: Path) -> list[str]:
    """Returns the keys in a file, which is made with a new one, for this user alone, if there is none.

    Raises `SettingsError` if it cannot be read or made, or holds no key.
    """
    try:
        if not file.exists():
            _make(file)
        with file.open() as opened:
            lines = opened.read(_KEY_FILE_BYTES_MAX).split()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The file of keys {file} cannot be used: {type(error).__name__}.") from None
    try:
        for line in lines:
            Fernet(line)
    except ValueError:
        raise SettingsError(
            f"{file} must hold keys of Fernet, one per line: 32 bytes in URL-safe base64 each."
        ) from None
    if not lines:
        raise SettingsError(f"{file} is empty: it must hold a key of Fernet, 32 bytes in URL-safe base64.")
    return lines


async def check_keys(documents: DocumentStore, box: SecretBox, file: Path) -> None:
    """Makes sure that the keys are those that the store's secrets are sealed with. Raises `SettingsError`."""
    with suppress(DocumentExists):
        await documents.insert(_KEY_CHECK, _KEY_CHECK, _KEY_CHECK, {"sealed": box.seal(_KEY_CHECK.encode())})
    kept = await documents.get(_KEY_CHECK, _KEY_CHECK, _KEY_CHECK)
    try:
        renewed = box.renewed(kept.body["sealed"])
    except SecretUnreadable:
        raise SettingsError(
            f"The secrets of webhooks are sealed with another key than {file} holds: put it there, or name its file in "
            "PENSTOCK_REGISTRY_SECRETS_KEY_FILE."
        ) from None
    if renewed != kept.body["sealed"]:
        with suppress(VersionConflict):  # another replica was quicker
            await documents.replace(_KEY_CHECK, _KEY_CHECK, _KEY_CHECK, {"sealed": renewed}, expected=kept.version)


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(Fernet.generate_key() + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        # A link fails where a file is: of two that start at once, both take the key of one.
        try:
            os.link(beside, file)
        except FileExistsError:
            return
    finally:
        beside.unlink()
