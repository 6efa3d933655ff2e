"""Logs pictures as matplotlib, Pillow, jax and Plotly make them, and reads back what became of them with Pillow."""

import io
import os
from typing import Any

import numpy as np
from serving import serve

import penstock

os.environ |= {"JAX_PLATFORMS": "cpu", "MPLBACKEND": "agg", "PENSTOCK_CAPTURE": "0"}
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)


def log(home: str, project: str) -> str:
    """A run with media of each library; returns its name."""
    import jax.numpy as jnp
    import matplotlib.pyplot as plt
    from PIL import Image

    os.environ["PENSTOCK_HOME"] = home
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    with penstock.init(project=project, system_metrics=False) as run:
        row = {"matplotlib": figure, "pillow": [Image.fromarray(PIXELS), Image.fromarray(PIXELS).convert("CMYK")]}
        run.log(row | {"numpy": penstock.Image(PIXELS), "loss": jnp.float32(0.5)}, step=3)
        run.log(
            {"jax": penstock.Image(jnp.asarray(PIXELS[:, :, :3]) / 255), "weights": penstock.Histogram(jnp.ones(5))}
        )
        run.log({"film": penstock.Video(np.stack([PIXELS, PIXELS[::-1]]), fps=2)})
        run.log({"bfloat16": penstock.Histogram(jnp.ones(5, jnp.bfloat16))})
    assert run.finish().complete
    return run.resource_name


def look(files: list[list[str]]) -> list[dict[str, Any]]:
    """What Pillow says of PNGs, given in hexadecimal: format, frames, and whether the pixels are those that were logged."""
    from PIL import Image

    found: list[dict[str, Any]] = []
    for name, data in files:
        image = Image.open(io.BytesIO(bytes.fromhex(data)))
        image.load()
        frames = getattr(image, "n_frames", 1)
        pixels = np.asarray(image)
        logged = PIXELS[:, :, : pixels.shape[2]]
        same = pixels.shape == logged.shape and bool((pixels == logged).all())
        if frames == 2:
            image.seek(1)
            same = same and bool((np.asarray(image) == PIXELS[::-1]).all()) and image.info["duration"] == 500
        found.append({"name": name, "format": image.format, "frames": frames, "same": same})
    return found


serve({"log": log, "look": look})
