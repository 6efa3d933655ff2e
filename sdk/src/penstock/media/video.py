"""Films."""

from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Final

from penstock.errors import InvalidInput
from penstock.media.base import Encoded, Media, array_of, given_file

__all__ = ["Video"]

FPS_MIN: Final = 0.02  # a frame may be shown for 65.5 s
FPS_MAX: Final = 1_000.0
_TYPES: Final = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif"}


class Video(Media):
    """A film. Arrays become an animated PNG, which browsers play and which needs no codec.

    Args:
        data: A file (MP4, WebM, GIF), or an array of numpy, torch or jax: (T, H, W), (T, H, W, C) or (T, C, H, W),
            values as `Image` takes them, at most 100,000,000 pixels in all frames together.
        fps: Frames per second of an array, 0.02 to 1,000.
        caption: What it shows, at most 2,000 characters.

    Raises `InvalidInput` if `fps` is out of its limits.
    """

    kind: ClassVar[str] = "video"

    def __init__(self, data: Any, fps: float = 8.0, caption: str = "") -> None:
        super().__init__(caption)
        if not FPS_MIN <= fps <= FPS_MAX:
            raise InvalidInput(f"fps must be {FPS_MIN} to {FPS_MAX:,.0f}, not {fps!r}.")
        self._data = data
        self._fps = fps

    def encoded(self) -> Encoded:
        """An animated PNG, or the file that was given. Raises `InvalidType`, `InvalidInput` if it is no film."""
        if isinstance(self._data, (str, PathLike)):
            return given_file(Path(self._data), _TYPES, "A video")
        array = array_of(self._data, "A video")
        # Needs numpy, which is there now.
        from penstock.media.png import PIXELS_MAX, animation, pixels_of

        if array.ndim not in {3, 4} or len(array) == 0:
            raise InvalidInput(
                f"A video must have the shape (T, H, W), (T, H, W, C) or (T, C, H, W), not {array.shape}."
            )
        pixels = array.size // (1 if array.ndim == 3 else min(array.shape[1], array.shape[3]) or 1)
        if pixels > PIXELS_MAX:
            raise InvalidInput(f"A video has {pixels:,} pixels in all frames, at most {PIXELS_MAX:,} are allowed.")
        frames = [pixels_of(frame, "A frame of a video") for frame in array]
        return Encoded(animation(frames, self._fps), ".png", "image/png")
