"""Messages to JSON, by the rules of proto3 JSON: camelCase names, 64-bit integers as strings, NaN and the infinities as the
strings `"NaN"`, `"Infinity"`, `"-Infinity"`, fields at their default left out.
"""

import json

from google.protobuf import json_format
from google.protobuf.message import Message

__all__ = ["message_json"]


def message_json(message: Message) -> bytes:
    """A message as one line of JSON, without the line's end."""
    value = json_format.MessageToDict(message)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
