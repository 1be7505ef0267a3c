"""How sure a model is of a subject in pictures that have one, and in pictures that have none.

    python -m bench.confidence --model u2netp

Photos are those that come with scikit-image; empty pictures are its textures, and what is made here.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models import catalog, sessions
from models.weights import open_store
from operations.background_removal import LEAST_CONFIDENCE

Pixels = NDArray[np.uint8]

SUBJECTS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "horse", "coins", "cell", "retina", "logo")
TEXTURES = ("brick", "grass", "gravel", "moon", "hubble_deep_field")
HEIGHT, WIDTH = 400, 600


def photos(names: Sequence[str]) -> dict[str, Pixels]:
    import skimage.data

    return {name: np.asarray(getattr(skimage.data, name)()) for name in names}


def made() -> dict[str, Pixels]:
    """Flat colours, gradients, skies, noise and regular patterns."""
    chance = np.random.default_rng(0)
    down, across = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    sky = np.dstack([100 + 80 * down, 150 + 60 * down, np.full_like(down, 235)])
    clouds = scaled(cv2.GaussianBlur(chance.random((HEIGHT, WIDTH)), (0, 0), 35))[..., None]
    pictures = {f"flat {level}": np.full((HEIGHT, WIDTH), level) for level in (0, 128, 255)}
    pictures |= {"gradient down": down * 255, "gradient across": across * 255, "sky": sky}
    pictures["sky with clouds"] = sky + (255 - sky) * np.clip(clouds * 1.6 - 0.6, 0, 1)
    pictures["noise"] = chance.integers(0, 256, (HEIGHT, WIDTH, 3))
    pictures["noise, enlarged"] = chance.integers(0, 256, (HEIGHT // 20, WIDTH // 20)).repeat(20, 0).repeat(20, 1)
    pictures["blotches"] = 255 * scaled(cv2.GaussianBlur(chance.random((HEIGHT, WIDTH)), (0, 0), 4))
    pictures["chessboard"] = 255 * ((across * WIDTH // 20 + down * HEIGHT // 20) % 2)
    pictures["stripes"] = 20 + 200 * (across * WIDTH // 15 % 2)
    return {name: levels.astype(np.uint8) for name, levels in pictures.items()}


def scaled(values: NDArray[Any]) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / (high - low))


def confidence(session: sessions.Session, picture: Pixels) -> float:
    levels = picture if picture.dtype == np.uint8 else (picture * 255).astype(np.uint8)
    rgb = levels[..., :3] if levels.ndim == 3 else np.dstack([levels] * 3)
    return session.predict(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])).confidence


def report(kind: str, found: Mapping[str, float]) -> None:
    told = sorted(found.items(), key=lambda item: item[1])
    passing = sum(value >= LEAST_CONFIDENCE for value in found.values())
    print(f"{kind}: {passing} of {len(found)} at or above {LEAST_CONFIDENCE}")
    print("  " + ", ".join(f"{name} {value:.2f}" for name, value in told))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="u2netp")
    model = catalog.find(parser.parse_args(arguments).model)
    session = sessions.load(model, open_store(os.environ).locate(model), threads=1)
    report("with a subject", {name: confidence(session, each) for name, each in photos(SUBJECTS).items()})
    empty = photos(TEXTURES) | made()
    report("without a subject", {name: confidence(session, each) for name, each in empty.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
