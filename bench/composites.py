"""Pictures of which the truth is known: a subject with hair, its alpha and colours, before any background.

Disks with curved hairs are drawn at four times the size and made smaller, so that hairs are thinner than a pixel in
places; colours of the subject and of backgrounds are those of real photos.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.throughput import NOISE_LEVELS, samples

Pixels = NDArray[np.uint8]
Levels = NDArray[np.float32]

OVERSAMPLING = 4
HAIRS = 400
STEPS = 24


@dataclass(frozen=True)
class Composite:
    """A subject before a background: height × width [× 3], 0 to 1; `shown` is what a camera would have taken."""

    name: str
    foreground: Levels
    alpha: Levels
    background: Levels

    @property
    def shown(self) -> Pixels:
        """With a camera's noise, the same every time, and an alpha channel of 255."""
        noise = NOISE_LEVELS * np.random.default_rng(0).standard_normal(self.alpha.shape, np.float32)
        levels = over(self.foreground, self.alpha, self.background) * 255 + noise[..., None]
        rgb = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
        return np.dstack([rgb, np.full(self.alpha.shape, 255, np.uint8)])

    @property
    def mask(self) -> Pixels:
        return np.rint(self.alpha * 255).astype(np.uint8)

    @property
    def edge(self) -> NDArray[np.bool_]:
        return (self.alpha > 0) & (self.alpha < 1)


def over(foreground: Levels, alpha: Levels, background: Levels) -> Levels:
    weight = alpha[..., None]
    return weight * foreground + (1 - weight) * background


def composites(megapixels: float) -> list[Composite]:
    """Each sample photo as the colours of a subject, before each other one and before a green screen."""
    side = round((megapixels * 1e6) ** 0.5)
    textures = [texture(np.asarray(photo), side) for photo in samples()]
    green = np.broadcast_to(np.array([0.1, 0.7, 0.25], np.float32), (side, side, 3))
    made = []
    for number, foreground in enumerate(textures):
        alpha = hairy(side, seed=number)
        for place, background in enumerate([*textures, green]):
            if place != number:
                made.append(Composite(f"{number} before {place}", foreground, alpha, background))
    return made


def texture(photo: Pixels, side: int) -> Levels:
    """The middle of a photo, as a square."""
    height, width = photo.shape[:2]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    square = photo[top : top + least, left : left + least]
    scaled = cv2.resize(square, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(scaled / 255, np.float32)


def hairy(side: int, seed: int) -> Levels:
    """Alpha of a disk with hair: longer and thicker ones in a larger picture, as a closer camera sees them."""
    chance = np.random.default_rng(seed)
    large = side * OVERSAMPLING
    drawn = np.zeros((large, large), np.uint8)
    radius = 0.27 * large
    cv2.circle(drawn, (large // 2, large // 2), round(radius), (255,), -1)
    for angle in chance.uniform(0, 2 * np.pi, HAIRS):
        along = np.linspace(0.9, 1 + chance.uniform(0.1, 0.6), STEPS)
        bent = angle + (along - 0.9) ** 2 * chance.uniform(-1.5, 1.5)
        points = large / 2 + radius * along[:, None] * np.stack([np.cos(bent), np.sin(bent)], axis=1)
        thickness = max(1, round(large / 700 * chance.uniform(0.3, 1.6)))
        cv2.polylines(drawn, [points.astype(np.int32)], False, (255,), thickness)
    alpha = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
    # Out of focus by a fraction of a pixel, as every lens is.
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.6) / 255, np.float32)


def as_a_model_sees_it(mask: Pixels, side: int = 320) -> Pixels:
    """A mask that went through the square of u2net and back."""
    from models.resample import resize

    return resize(resize(mask, side, side), mask.shape[1], mask.shape[0])
