"""One of several processes on one queue: claims and completes until nothing is left, without looking at a picture.

`python -m tests.faults.complete_until_empty DATA_DIR` says "ready", waits for a line, and prints the ids of its files.
"""

import os
import sys
from pathlib import Path

from app import open_queue
from settings import Settings
from tests.queues import finish

queue = open_queue(Settings(data_dir=Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
while leases := queue.claim(f"worker-{os.getpid()}", 3):
    for lease in leases:
        finish(queue, lease)
        print(lease.file.id)
queue.database.close()
