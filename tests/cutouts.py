"""Background removal as a child process runs it, in this process."""

from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from models.sessions import Session
from operations.background_removal import BackgroundRemoval
from operations.base import Result
from tests.pictures import Pixels
from tests.service import SAMPLES

LIMIT = 50_000_000
ASTRONAUT, CAT, COFFEE = (
    next(path for path in SAMPLES if path.stem == name) for name in ("astronaut", "cat", "coffee")
)


def cut(data: bytes, session: Session, *, behind: bytes | None = None, limit: int = LIMIT, **options: Any) -> Result:
    """With any options of Params; `behind` is the background picture."""
    attachments: Mapping[str, bytes] = {} if behind is None else {"background_image": behind}
    digests = {name: sha256(attached).hexdigest() for name, attached in attachments.items()}
    params = BackgroundRemoval.Params.model_validate({"model": "u2netp", **digests, **options})
    return BackgroundRemoval().run(data, params, session, limit, attachments)


def opened(result: Result) -> Image.Image:
    """As Pillow reads it; its size must be what the result says."""
    image = Image.open(BytesIO(result.data))
    image.load()
    assert image.size == (result.width, result.height)
    assert Image.MIME[str(image.format)] == result.content_type
    return image


def rgba(result: Result) -> Pixels:
    image = opened(result)
    assert (image.format, image.mode) == ("PNG", "RGBA")
    return np.array(image)


def over(front: Pixels, back: Pixels) -> Pixels:
    """Straight alpha, by the book: Porter and Duff, in floats."""
    above, below = front.astype(float) / 255, back.astype(float) / 255
    share = below[..., 3:] * (1 - above[..., 3:])
    alpha = above[..., 3:] + share
    colours = (above[..., :3] * above[..., 3:] + below[..., :3] * share) / np.where(alpha > 0, alpha, 1)
    return np.rint(np.dstack([colours, alpha]) * 255).astype(np.uint8)


def largest_difference(ours: Pixels, theirs: Pixels) -> int:
    assert ours.shape == theirs.shape
    return int(np.abs(ours.astype(int) - theirs).max())
