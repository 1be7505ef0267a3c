"""Every operation by name."""

from collections.abc import Mapping

from operations.background_removal import BackgroundRemoval
from operations.base import Operation

OPERATIONS: Mapping[str, Operation] = {operation.name: operation for operation in (BackgroundRemoval(),)}
