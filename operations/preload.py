"""Imported once by the fork server, so that each child starts with the heavy libraries in place.

Only the fork server may import this module: it leaves the service's session, where a terminal's Ctrl-C or a
SIGTERM to the whole group would end children that the service still wants to let finish.
"""

import os

# ONNX Runtime otherwise reports home about what it runs.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import rembg  # noqa: F401

import operations.child  # noqa: F401

os.setsid()
