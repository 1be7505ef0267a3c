"""Loading a model once and predicting masks with it, through rembg's own session classes.

Only child processes call this: importing rembg costs 220 MB and 1.4 s.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ModelLoadFailed
from models.catalog import Model

if TYPE_CHECKING:
    from PIL.Image import Image

_CPU = "CPUExecutionProvider"


class Session:
    """A loaded model. Not for use by two threads at once."""

    def __init__(self, model: Model, backend: Any) -> None:
        self.model = model
        self._backend = backend

    def predict(self, rgb: "Image") -> "list[Image]":
        """Masks in mode L, 255 where the subject is, of the size of the RGB picture; most models return one."""
        masks: list[Image] = self._backend.predict(rgb)
        return masks


def load(model: Model, paths: tuple[Path, ...], threads: int, providers: Sequence[str] | None = None) -> Session:
    """Load a model from verified files; never from the network.

    `providers` are names of ONNX Runtime execution providers, the processor unless asked otherwise.
    Raises ModelLoadFailed.
    """
    # It otherwise reports home about what it runs.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    wanted = list(providers or [_CPU])
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

    try:
        # The custom sessions insist on being told a path; the others ignore it.
        backend = Located(model.name, _options(threads), providers=wanted, model_path=str(paths[0]))
    except Exception as error:
        # ONNX Runtime's errors have no base of their own.
        raise ModelLoadFailed(
            f"The model {model.name} could not be loaded ({type(error).__name__}); "
            f"`python -m models verify {model.name}` tells whether its weights are damaged."
        ) from error
    _check_providers(backend, wanted, available)
    return Session(model, backend)


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Planning memory ahead makes a u2netp process a third larger and is no faster.
    options.enable_mem_pattern = False
    # Waiting threads must not keep a core busy that the next picture or the API could use.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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
