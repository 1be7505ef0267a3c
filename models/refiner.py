"""ViTMatte: a network that tells alpha from a picture and where its edge may be; `rembg.matting`, in a session of ours.

Only child processes call this.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ModelLoadFailed
from models.catalog import VITMATTE
from models.sessions import CPU, session_options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Of the square that the network was made for: at any other size it would be wrong without saying so.
_SIDE = 1024


class Refiner:
    """The loaded network. Not for use by two threads at once."""

    def __init__(self, session: Any, run_options: Any) -> None:
        self._session = session
        self._run_options = run_options

    def alpha(self, rgba: "Pixels", trimap: "Pixels") -> "Pixels":
        """Alpha of a height × width × 4 picture, to a trimap of it; exactly what rembg.matting.vitmatte_alpha gives.

        The picture is shrunk to the square that the network looks at, and its alpha is enlarged.
        """
        import numpy as np
        from PIL import Image

        height, width = trimap.shape
        picture = Image.fromarray(np.ascontiguousarray(rgba[..., :3])).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        # A mean of what is sure and what is not would be a level of its own.
        edge = Image.fromarray(trimap).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
        levels = np.dstack([np.asarray(picture), np.asarray(edge)]).astype(np.float32) / np.float32(255)
        seen = np.ascontiguousarray(levels.transpose(2, 0, 1))[None]
        told = self._session.run(None, {"pixel_values": seen}, self._run_options)
        alpha = (np.clip(told[0][0, 0], 0, 1) * 255).astype(np.uint8)
        return np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.BILINEAR))


def load(path: Path, threads: int) -> Refiner:
    """From a verified file. Raises ModelLoadFailed."""
    import onnxruntime

    run_options = onnxruntime.RunOptions()
    # Its attention takes a gigabyte, which few pictures after it need.
    run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    try:
        return Refiner(onnxruntime.InferenceSession(path, session_options(threads), providers=[CPU]), run_options)
    except Exception as error:
        # ONNX Runtime's errors have no base of their own.
        raise ModelLoadFailed(
            f"The weights of {VITMATTE.name} could not be loaded ({type(error).__name__}); "
            f"`python -m models verify {VITMATTE.name}` tells whether they are damaged."
        ) from error
