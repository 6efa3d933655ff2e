"""In which order keys of metrics and params stand before people: `layer/2` before `layer/10`, what most runs have first.

Knows nothing of Dash or of the services.
"""

import re
from collections.abc import Iterable, Mapping

__all__ = ["by_usefulness", "natural", "natural_key"]

SHARE_STEPS = 4
"""Keys are ranked by quarters of the runs that have them, so that one run more or less does not reorder columns."""
JUDGED_FIRST = (("val", "eval", "test"), ("train",))
"""Prefixes by which a run is judged, the most telling first."""
_DIGITS_RE = re.compile(r"([0-9]+)")


def natural_key(text: str) -> tuple[tuple[int | str, ...], str]:
    """Sorts digits as numbers and letters without regard to case; texts that are alike by that, by their code points."""
    parts = _DIGITS_RE.split(text.lower())
    # Text and digits take turns, beginning with text, so that parts at one place are always of one type.
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def natural(keys: Iterable[str]) -> list[str]:
    """Keys in natural order."""
    return sorted(keys, key=natural_key)


def by_usefulness(holders: Mapping[str, int], runs: int) -> list[str]:
    """Keys in the order in which they deserve a column: held by most runs, then judging, then short names.

    Args:
        holders: How many of the runs have each key.
        runs: How many runs there are, 1 at least.
    """

    def rank(key: str) -> tuple[int, int, int, object]:
        share = round(SHARE_STEPS * holders[key] / runs)
        judging = next((place for place, begin in enumerate(JUDGED_FIRST) if key.startswith(begin)), len(JUDGED_FIRST))
        return -share, judging, len(key), natural_key(key)

    return sorted(holders, key=rank)
