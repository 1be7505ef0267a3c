"""Imported once by the fork server, so that each child starts with the heavy libraries in place.

Only the fork server may import this module: it leaves the service's session, where a terminal's Ctrl-C or a
SIGTERM to the whole group would end children that the service still wants to let finish.
"""

import os
import threading

WATCH_SECONDS = 0.2

# ONNX Runtime otherwise reports home about what it runs.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def end_with(service: int, loaded: threading.Event) -> None:
    """While it loads, the fork server does not notice that its service died."""
    while not loaded.wait(WATCH_SECONDS):
        if os.getppid() != service:
            os._exit(1)


loaded = threading.Event()
watch = threading.Thread(target=end_with, args=(os.getppid(), loaded), name="watch")
watch.start()

try:
    import rembg  # noqa: F401

    import operations.child  # noqa: F401
finally:
    # Whatever happens: no thread may be left, since children are forked from here, and none may keep this alive.
    loaded.set()
    watch.join()
os.setsid()
