"""What all media have in common: what they are shown as, a caption, and how they become a file."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Final

from penstock.errors import InvalidInput, InvalidType
from penstock.spool.values import check_text

__all__ = ["CAPTION_CHARS_MAX", "Encoded", "Media", "array_of", "given_file"]

CAPTION_CHARS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class Encoded:
    """Media as a file.

    Attributes:
        data: Its bytes, or the file that has them.
        extension: The end of its name, such as `.png`.
        media_type: Such as `image/png`.
    """

    data: bytes | Path
    extension: str
    media_type: str


class Media(ABC):
    """Something to be seen or heard that a run logs under a key at a step.

    Args:
        caption: What it shows, at most 2,000 characters.
    """

    kind: ClassVar[str]
    """`image`, `audio`, `video`, `table`, `histogram` or `plot`."""

    def __init__(self, caption: str = "") -> None:
        self.caption = check_text(caption, "A caption", CAPTION_CHARS_MAX)

    @abstractmethod
    def encoded(self) -> Encoded:
        """The file. Raises `InvalidType`, `InvalidInput` if it is none of what this type takes."""


def given_file(path: str | PathLike[str], types: Mapping[str, str], what: str) -> Encoded:
    """A file of this machine as it is.

    Args:
        path: The file.
        types: Media types by the endings of names that are allowed.
        what: What it is called in errors.

    Raises `InvalidInput` if there is no such file, or it has another ending.
    """
    file = Path(path).absolute()
    extension = file.suffix.lower()
    if extension not in types:
        raise InvalidInput(f"{what} {file} must be one of {', '.join(sorted(types))}.")
    if not file.is_file():
        raise InvalidInput(f"There is no file {file}.")
    return Encoded(file, extension, types[extension])


def array_of(value: Any, what: str) -> Any:
    """An array of numpy, of anything that becomes one: of torch and jax, too, and lists of numbers.

    Raises `InvalidType` if it is none, or numpy is not installed.
    """
    try:
        import numpy as np
    except ImportError:
        raise InvalidType(f"{what} is given as an array, which needs numpy: pip install numpy") from None
    for step in ("detach", "cpu"):
        # A tensor of torch on an accelerator, or one that gradients are computed for, becomes an array only so.
        method = getattr(value, step, None)
        value = method() if callable(method) else value
    try:
        array = np.asarray(value)
    except Exception as error:
        raise InvalidType(f"{what} must be an array of numbers ({error}).") from None
    if array.dtype.kind == "V":
        # bfloat16 of jax and others that numpy does not know by itself.
        with contextlib.suppress(TypeError, ValueError):
            array = array.astype(np.float32)
    if array.dtype.kind not in "buif":
        raise InvalidType(f"{what} must be an array of numbers, not of {array.dtype}.")
    return array
