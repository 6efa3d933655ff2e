"""Media that a run logs as it logs numbers: `run.log({"samples": penstock.Image(pixels)}, step=7)`.

Each type says what it takes and how it is encoded. Encoding happens in the training process, with numpy where arrays are
given and with nothing else; files that are given by their path are copied as they are. The bytes go to the server
through the spool, as files of the run: see `penstock.spool.orders`.
"""

from penstock.media.audio import Audio
from penstock.media.base import Media
from penstock.media.figure import Figure
from penstock.media.histogram import Histogram
from penstock.media.image import Image
from penstock.media.table import Table
from penstock.media.video import Video

__all__ = ["Audio", "Figure", "Histogram", "Image", "Media", "Table", "Video"]
