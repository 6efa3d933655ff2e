"""What the contract says of a method that matters to its caller: read from the options in the descriptors."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pool

from penstock.api.common.v1 import access_pb2

__all__ = ["CallRule", "call_rule"]


@dataclass(frozen=True)
class CallRule:
    """How a method may be called.

    Attributes:
        public: Needs no token.
        repeatable: Only reads, or obtains a token: a call that failed on the way may simply be made again.
    """

    public: bool
    repeatable: bool


@cache
def call_rule(path: str) -> CallRule:
    """The rule of the method `/package.Service/Method`. Its module must be imported."""
    pool: Any = descriptor_pool.Default()
    method = pool.FindMethodByName(path.removeprefix("/").replace("/", "."))
    options: Any = method.GetOptions()
    access = options.Extensions[access_pb2.access]
    reads = options.Extensions[annotations_pb2.http].WhichOneof("pattern") == "get" or access.permission.endswith(
        ".read"
    )
    return CallRule(
        public=access.scope == access_pb2.ACCESS_SCOPE_PUBLIC, repeatable=reads or method.name == "ExchangeToken"
    )
