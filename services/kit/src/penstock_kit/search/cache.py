"""A cache bounded by bytes: what was used least recently goes first."""

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

__all__ = ["ByteBoundedCache", "Sized"]


class Sized(Protocol):
    """Something that knows how much memory it takes, and may grow while it is cached."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        ...


T = TypeVar("T", bound=Sized)


class ByteBoundedCache(Generic[T]):
    """Values by key, of at most `bytes_max` bytes together. The one used last stays even if it alone is larger.

    Args:
        bytes_max: The bound, in bytes.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: OrderedDict[str, tuple[T, int]] = OrderedDict()
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all values, each as it was when it was put last."""
        return self._bytes

    def get(self, key: str) -> T | None:
        """Returns a value, None if there is none, and counts as a use."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: str, value: T) -> None:
        """Keeps a value, or weighs it anew if it has grown. Drops those used least recently until the rest fits."""
        self.drop(key)
        size = value.nbytes
        self._entries[key] = (value, size)
        self._bytes += size
        while self._bytes > self._bytes_max and len(self._entries) > 1:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._bytes -= dropped

    def drop(self, key: str) -> None:
        """Forgets a value. No error if there is none."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry[1]
