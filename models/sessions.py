"""Loading a model once and predicting masks with it, through rembg's own session classes.

Only child processes call this: importing rembg costs 220 MB and 1.4 s.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ModelLoadFailed
from models import confidence
from models.catalog import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Pixels = NDArray[np.uint8]

CPU = "CPUExecutionProvider"
# Of these, rembg makes masks that are no levels yet when it enlarges them, or keeps the shape of the picture.
_SEES_WHOLE_PICTURE = frozenset({"sam", "u2net_cloth_seg"})


@dataclass(frozen=True)
class Prediction:
    """Masks, height × width, 255 where the subject is; mostly one. `confidence`, 0 to 1: is there any subject?"""

    masks: "list[Pixels]"
    confidence: float


class Watched:
    """An ONNX Runtime session that keeps what it gave last: rembg stretches that until it tells nothing of strength."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.outputs: Sequence[NDArray[np.float32]] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, Any]) -> "Sequence[NDArray[np.float32]]":
        given: Sequence[NDArray[np.float32]] = self._inner.run(names, inputs)
        self.outputs = given[:2]  # the rest, of u2net six coarser masks, nobody asks for
        return given


class Session:
    """A loaded model. Not for use by two threads at once."""

    def __init__(self, model: Model, backend: Any) -> None:
        self.model = model
        self._backend = backend
        # SAM's encoder comes first, and its decoder says what it found.
        part = "decoder" if model.name == "sam" else "inner_session"
        self._watched = Watched(getattr(backend, part))
        setattr(backend, part, self._watched)

    def predict(self, rgba: "Pixels", prompt: Sequence[Mapping[str, object]] = ()) -> Prediction:
        """What the model sees in the colours of a height × width × 4 picture.

        `prompt`, only for the model sam, has points and rectangles in pixels, as rembg takes them; without one it
        looks at the middle. rembg shrinks each picture to the model's square and enlarges the mask, both by LANCZOS.
        Done here, around a prediction for the small picture, it gives the same levels in a fraction of the time.
        """
        import numpy as np
        from PIL import Image

        from models.resample import resize

        height, width = rgba.shape[:2]
        asked = {"sam_prompt": list(prompt)} if prompt else {}
        side = None if self.model.name in _SEES_WHOLE_PICTURE else self.model.input_size
        seen = rgba if side is None else resize(rgba, side, side)
        # A model that gives the same value everywhere makes rembg divide by zero; exp() of strong ones is infinite.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            levels = self._backend.predict(Image.fromarray(np.ascontiguousarray(seen[..., :3])), **asked)
            found = confidence.of(self.model, self._watched.outputs)
        if found is None:
            return Prediction([np.zeros((height, width), np.uint8) for _ in levels], 0.0)
        masks = [np.asarray(mask) for mask in levels]
        return Prediction(masks if side is None else [resize(mask, width, height) for mask in masks], found)


def load(model: Model, paths: tuple[Path, ...], threads: int, providers: Sequence[str] | None = None) -> Session:
    """Load a model from verified files; never from the network.

    `providers` are names of ONNX Runtime execution providers, the processor unless asked otherwise.
    Raises ModelLoadFailed.
    """
    # It otherwise reports home about what it runs.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    wanted = list(providers or [CPU])
    available = onnxruntime.get_available_providers()
    missing = [name for name in wanted if name not in available]
    if missing:
        raise _not_available(missing, available)

    from rembg.sessions import sessions

    session_class: Any = sessions[model.name]

    class Located(session_class):  # type: ignore[misc]
        """rembg's session, with the files we verified in place of its own download."""

        @classmethod
        def download_models(cls, *args: object, **kwargs: object) -> Path | tuple[Path, ...]:
            return paths if len(paths) > 1 else paths[0]

        def normalize(
            self, img: "Image", mean: Sequence[float], std: Sequence[float], size: tuple[int, int], *_: object
        ) -> "dict[str, NDArray[np.float32]]":
            return {self.inner_session.get_inputs()[0].name: normalized(img, mean, std, size)}

    try:
        # The custom sessions insist on being told a path; the others ignore it.
        backend = Located(model.name, session_options(threads), providers=wanted, model_path=str(paths[0]))
    except Exception as error:
        # ONNX Runtime's errors have no base of their own.
        raise ModelLoadFailed(
            f"The model {model.name} could not be loaded ({type(error).__name__}); "
            f"`python -m models verify {model.name}` tells whether its weights are damaged."
        ) from error
    _check_providers(backend, wanted, available)
    return Session(model, backend)


def share_memory() -> None:
    """Have all sessions of this process, of which one works at a time, share their working memory. Call it once."""
    import onnxruntime

    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, None)


def normalized(
    img: "Image", mean: Sequence[float], std: Sequence[float], size: tuple[int, int]
) -> "NDArray[np.float32]":
    """What rembg's BaseSession.normalize makes of a picture, bit by bit: 1 × 3 × height × width.

    Each of 256 levels is computed once, in float64 as rembg does it, and looked up; rembg computes each pixel.
    """
    import numpy as np
    from PIL import Image

    pixels = np.asarray(img.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    brightest = max(int(pixels.max()), 1e-6)
    levels = [((np.arange(256) / brightest - m) / s).astype(np.float32) for m, s in zip(mean, std, strict=True)]
    return np.stack([channel[pixels[..., number]] for number, channel in enumerate(levels)])[None]


def session_options(threads: int) -> Any:
    """Of every ONNX Runtime session here."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Planning memory ahead makes a u2netp process a third larger and is no faster.
    options.enable_mem_pattern = False
    # Waiting threads must not keep a core busy that the next picture or the API could use.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # That of `share_memory`, where it was called.
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Errors only: warnings go straight to stderr, past logging, and say nothing an operator can act on.
    options.log_severity_level = 3
    return options


def _check_providers(backend: Any, wanted: Sequence[str], available: Sequence[str]) -> None:
    """ONNX Runtime falls back to the processor without an error when an accelerator cannot be started."""
    inner = getattr(backend, "inner_session", None) or backend.encoder
    idle = [name for name in wanted if name not in inner.get_providers()]
    if idle:
        raise _not_available(idle, available)


def _not_available(missing: Sequence[str], available: Sequence[str]) -> ModelLoadFailed:
    return ModelLoadFailed(
        f"ONNX Runtime cannot use {', '.join(missing)} on this machine; it knows {', '.join(available)}."
    )
