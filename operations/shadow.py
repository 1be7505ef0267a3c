"""A soft shadow under a subject. For child processes only."""

from dataclasses import dataclass

import cv2
import numpy as np

from operations import layers
from operations.box import Box, Sides, in_pixels, whole
from operations.layers import Pixels
from operations.params import Params, lengths


@dataclass(frozen=True)
class Shadow:
    """Black. Opacity from 0 to 1; how far it fades out beyond its edge and where it lies, in pixels."""

    opacity: float
    blur: int
    right: int
    down: int

    def around(self, subject: Box, ends: Sides) -> Box:
        """The subject and its shadow, which on some sides ends where the subject does."""
        reach = subject.joined(subject.moved(self.right, self.down).grown(*[self.blur] * 4))
        top, right, bottom, left = ends
        return Box(
            subject.left if left else reach.left,
            subject.top if top else reach.top,
            subject.right if right else reach.right,
            subject.bottom if bottom else reach.bottom,
        )

    def of(self, alpha: Pixels, goes_on: Sides) -> Pixels:
        """The shadow of what has this alpha, height × width × 4, and goes on beyond its frame on those sides."""
        shadow = np.zeros((*alpha.shape, 4), np.uint8)
        window = whole(alpha)
        if abs(self.right) < window.width and abs(self.down) < window.height:
            top, left = max(self.down, 0), max(self.right, 0)
            wider = layers.extended(alpha, (top, left - self.right, top - self.down, left), goes_on)
            # As in CSS: the edge is as wide as the blur on either side.
            soft = layers.softened(wider, self.blur / 2, goes_on)
            seen = window.moved(left - self.right, top - self.down).of(soft)
            shadow[..., 3] = cv2.convertScaleAbs(seen, alpha=self.opacity)
        return shadow


def asked(params: Params, shorter_side: int) -> Shadow | None:
    """The shadow that is asked for; per cent are those of the picture's shorter side."""
    if not params.shadow:
        return None
    (blur,) = lengths(params.shadow_blur, (1,))
    right, down = lengths(params.shadow_offset, (2,))
    return Shadow(
        params.shadow_opacity / 100,
        in_pixels(blur, shorter_side),
        in_pixels(right, shorter_side),
        in_pixels(down, shorter_side),
    )
