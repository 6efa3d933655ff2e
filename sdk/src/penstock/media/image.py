"""Images."""

import io
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Final

from penstock.media.base import Encoded, Media, array_of, given_file

__all__ = ["Image"]

_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
}


class Image(Media):
    """An image. Arrays and images of PIL become PNG.

    Args:
        data: A file (PNG, JPEG, GIF, WebP, BMP), an image of PIL, or an array of numpy, torch or jax: (H, W), (H, W, C) or
            (C, H, W) with 1 to 4 channels (grey, grey with alpha, RGB, RGBA). uint8 is taken as it is, floats are 0 to 1,
            other whole numbers 0 to 255; what is beyond is clipped. At most 100,000,000 pixels.
        caption: What it shows, at most 2,000 characters.
    """

    kind: ClassVar[str] = "image"

    def __init__(self, data: Any, caption: str = "") -> None:
        super().__init__(caption)
        self._data = data

    def encoded(self) -> Encoded:
        """A PNG, or the file that was given. Raises `InvalidType`, `InvalidInput` if it is none of what an image takes."""
        if isinstance(self._data, (str, PathLike)):
            return given_file(Path(self._data), _TYPES, "An image")
        if type(self._data).__module__.partition(".")[0] == "PIL":
            buffer = io.BytesIO()
            image = self._data if self._data.mode in {"1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"} else None
            (image or self._data.convert("RGB")).save(buffer, format="PNG")
            return Encoded(buffer.getvalue(), ".png", "image/png")
        array = array_of(self._data, "An image")
        # Needs numpy, which is there now.
        from penstock.media.png import pixels_of, png

        return Encoded(png(pixels_of(array, "An image")), ".png", "image/png")
