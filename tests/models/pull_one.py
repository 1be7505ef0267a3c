"""A process that pulls one file: `python -m tests.models.pull_one HOME URL SHA256 [MAX_FILE_BYTES]`.

Prints a line for every report of progress, then the path, or the error's type and message.
"""

import resource
import sys
from dataclasses import replace
from pathlib import Path

from errors import WeightsError
from models.catalog import MODELS, Source, WeightFile
from models.weights import WeightStore


def main(home: str, url: str, sha256: str, max_file_bytes: str = "") -> None:
    if max_file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(max_file_bytes), int(max_file_bytes)))
    file = WeightFile("tiny.onnx", sha256=sha256, sources=(Source("url", url),))
    model = replace(MODELS["u2netp"], name="tiny", files=(file,))
    try:
        paths = WeightStore(Path(home)).pull(model, lambda done, total: print("progress", done, total, flush=True))
    except WeightsError as error:
        print(type(error).__name__, error)
    else:
        print(paths[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
