"""How sure a model is that there is a subject: from what it really gave, before rembg stretches it to full contrast.

rembg maps the weakest value of each picture to 0 and the strongest to 255, so that the noise of a picture without any
subject becomes a mask too. What the models give, and so what is read here:

- u2net and its like, IS-Net, BEN and BRIA end in a sigmoid: levels from 0 to 1;
- BiRefNet gives logits, and rembg applies the sigmoid;
- u2net_cloth_seg gives a score for each of background and three kinds of clothes;
- SAM gives logits of masks, and how well it thinks each covers what was asked for (intersection over union).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.catalog import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float32]


def of(model: Model, outputs: "Sequence[Values]") -> float | None:
    """0 to 1; None when all values are the same, or one is no number: then no mask can be made of them.

    It is the mean level of what would become subject: of the pixels in the upper half of the range.
    """
    import numpy as np

    if model.name == "sam":
        masks, overlaps = outputs[:2]
        return float(np.clip(np.max(overlaps), 0, 1)) if np.isfinite(overlaps).all() and (masks > 0).any() else None
    levels = _levels(model.name, outputs[0][0])
    low, high = float(levels.min()), float(levels.max())
    if not low < high:
        return None
    return float(np.clip(levels[levels > (low + high) / 2].mean(), 0, 1))


def _levels(name: str, output: "Values") -> "Values":
    """Of one picture, channels × height × width: how much each pixel belongs to the subject."""
    import numpy as np

    if name == "u2net_cloth_seg":
        scores = np.exp(output - output.max(axis=0))
        return np.asarray(1 - scores[0] / scores.sum(axis=0), np.float32)
    return np.asarray(1 / (1 + np.exp(-output[0])) if name.startswith("birefnet") else output[0], np.float32)
