"""What a run says to the person before it: short lines on standard error, and nothing anywhere else."""

import sys

__all__ = ["say"]


def say(text: str) -> None:
    """Writes one line. Never raises: standard error may be closed or gone."""
    try:
        sys.stderr.write(f"penstock: {text}\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        return
