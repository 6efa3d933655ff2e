"""The frame of the scripts in this folder: each runs in the peers' environment and does what the test beside it asks.

A request is a line of JSON on standard input, `{"do": <name of a function>, ...arguments}`; the answer is a line on standard
output. What the tools print goes to standard error.
"""

import json
import os
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any


def serve(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Answers requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        answer = functions[request.pop("do")](**request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def bits(value: float) -> str:
    """The 64 bits of a value, as hexadecimal text."""
    return struct.pack(">d", value).hex()
