"""How ids are made: at random, or derived so that a repeated create finds what the first one made."""

import hashlib
import secrets

__all__ = ["derived_id", "random_id"]


def random_id() -> str:
    """32 hex digits, 128 bits of randomness."""
    return secrets.token_hex(16)


def derived_id(principal: str, request_id: str, kind: str) -> str:
    """32 hex digits that depend on nothing but the arguments: a repeat of a create by the same principal gets the same id.

    An empty `request_id` means that the caller did not ask for safe repeats: the id is random.
    """
    if not request_id:
        return random_id()
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    text = "".join(f"{len(part)}:{part}" for part in ("penstock", kind, principal, request_id))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
