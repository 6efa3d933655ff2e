"""Media as matplotlib, Pillow and jax have them, logged in a process with these libraries, and read back by Pillow."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.importing import Peer
from support.platform import Platform

from penstock.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).parent / "writers" / "log_media.py"


@pytest.fixture(scope="module")
def logger(peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with Peer(peers, SCRIPT, tmp_path_factory.mktemp("logger") / "log") as peer:
        yield peer


def test_what_libraries_draw_arrives_as_it_was(logger: Peer, platform: Platform, client: Client) -> None:
    run = logger.ask("log", home=str(platform.home), project="media")
    files = list(client.media(run))
    assert [(file.media.key, file.media.step) for file in files] == [
        ("bfloat16", 6),
        ("film", 5),
        ("jax", 4),
        ("matplotlib", 3),
        ("numpy", 3),
        ("pillow", 3),
        ("pillow", 3),
        ("weights", 4),
    ]
    pictures = [file for file in files if file.media_type == "image/png"]
    seen = logger.ask("look", files=[[one.media.key, client.read_file(run, one.path).hex()] for one in pictures])
    # Pixels are bit-exact, also of an image whose mode PNG does not know; a figure is drawn anew.
    assert [(one["name"], one["format"], one["frames"], one["same"]) for one in seen] == [
        ("film", "PNG", 2, True),
        ("jax", "PNG", 1, True),
        ("matplotlib", "PNG", 1, False),
        ("numpy", "PNG", 1, True),
        ("pillow", "PNG", 1, True),
        ("pillow", "PNG", 1, True),
    ]
