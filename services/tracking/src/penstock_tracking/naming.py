"""Names for runs whose user gave none: readable, and the same for the same run."""

__all__ = ["run_display_name"]

# Words about rivers, since that is what a penstock leads away.
_QUALITIES = (  # noqa: SIM905 - a list of quoted words is harder to read
    "amber brisk calm clear cold deep eager early fleet fresh gentle glassy golden green high humming keen late lively "
    "long low mild misty narrow northern open pale patient quick quiet rapid rising rolling rushing shaded silver slow "
    "soft southern steady still stony sunlit swift tidal upper warm wide winding"
).split()
_WATERS = (  # noqa: SIM905 - as above
    "bank bay beck bend bourne braid brook burn canal cascade channel cove creek current delta eddy estuary falls fen "
    "flume ford gorge gulf inlet kyle lagoon lake levee loch lock marsh meander mere mill mouth pond pool race rapids "
    "reach reef rill river run shoal sluice sound source spring strand stream"
).split()


def run_display_name(run_id: str) -> str:
    """A name such as `swift-delta-3f2a`, worked out from the run's id."""
    number = int(run_id[:8], 16)
    quality = _QUALITIES[number % len(_QUALITIES)]
    water = _WATERS[number // len(_QUALITIES) % len(_WATERS)]
    return f"{quality}-{water}-{run_id[-4:]}"
