"""The digest of a blob, while a thread makes it."""

import hashlib

__all__ = ["STEP_BYTES", "Digesting"]

STEP_BYTES = 256 * 1024
"""So many bytes are read and digested at once: more would not stay in the caches of the processors."""


class Digesting:
    """SHA-256 of what was read so far. One thread adds, others may look and stop it.

    Attributes:
        size: The bytes that were read so far.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._stopped = False
        self.size = 0

    def add(self, piece: bytes | memoryview) -> bool:
        """Takes the next bytes. Returns whether more are wanted."""
        self._digest.update(piece)
        self.size += len(piece)
        return not self._stopped

    def stop(self) -> None:
        """No more bytes are wanted: whoever reads ends soon."""
        self._stopped = True

    def hexdigest(self) -> str:
        """The digest, 64 hex digits, once all was read."""
        return self._digest.hexdigest()
