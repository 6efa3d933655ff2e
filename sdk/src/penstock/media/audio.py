"""Sounds."""

import io
import wave
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Final

from penstock.errors import InvalidInput
from penstock.media.base import Encoded, Media, array_of, given_file

__all__ = ["Audio"]

SAMPLE_RATE_MAX: Final = 768_000
SAMPLES_MAX: Final = 500_000_000
CHANNELS_MAX: Final = 8
_TYPES: Final = {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg"}


class Audio(Media):
    """A sound. Arrays become WAV of 16 bits.

    Args:
        data: A file (WAV, FLAC, MP3, Ogg), or an array of numpy, torch or jax: (T,) or (T, C) with at most 8 channels;
            int16 is taken as it is, floats are -1 to 1, and clipped to that. At most 500,000,000 samples.
        sample_rate: Samples per second, 1 to 768,000; needed for an array.
        caption: What it is, at most 2,000 characters.

    Raises `InvalidInput` if `sample_rate` is out of its limits.
    """

    kind: ClassVar[str] = "audio"

    def __init__(self, data: Any, sample_rate: int | None = None, caption: str = "") -> None:
        super().__init__(caption)
        if sample_rate is not None and not 1 <= sample_rate <= SAMPLE_RATE_MAX:
            raise InvalidInput(f"sample_rate must be 1 to {SAMPLE_RATE_MAX:,}, not {sample_rate!r}.")
        self._data = data
        self._sample_rate = sample_rate

    def encoded(self) -> Encoded:
        """A WAV file, or the file that was given. Raises `InvalidType`, `InvalidInput` if it is no sound."""
        if isinstance(self._data, (str, PathLike)):
            return given_file(Path(self._data), _TYPES, "A sound")
        array = array_of(self._data, "A sound")
        # Needs numpy, which is there now.
        import numpy as np

        if self._sample_rate is None:
            raise InvalidInput("A sound that is given as an array needs its sample_rate.")
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2 or 0 in array.shape or array.shape[1] > CHANNELS_MAX:
            raise InvalidInput(
                f"A sound must have the shape (T,) or (T, C), at most {CHANNELS_MAX} channels, not {array.shape}."
            )
        if array.size > SAMPLES_MAX:
            raise InvalidInput(f"A sound has {array.size:,} samples, at most {SAMPLES_MAX:,} are allowed.")
        if array.dtype.kind == "f":
            array = np.nan_to_num(np.clip(array, -1.0, 1.0) * 32_767.0, nan=0.0).round()
        elif array.dtype != np.int16:
            raise InvalidInput(f"A sound must be of int16 or floats, not of {array.dtype}.")
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(array.shape[1])
            file.setsampwidth(2)
            file.setframerate(int(self._sample_rate))
            file.writeframes(array.astype("<i2").tobytes())
        return Encoded(buffer.getvalue(), ".wav", "audio/wav")
