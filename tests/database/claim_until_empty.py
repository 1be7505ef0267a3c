"""One of several workers on a queue: claims until nothing is left and prints it: `claim_until_empty.py URL`."""

import sys

from database.engine import Database
from database.file_store import FileStore
from tests.database.jobs import LEASE_SECONDS, NOW

database = Database(sys.argv[1])
files = FileStore(database)
print("ready", flush=True)
sys.stdin.readline()
while claimed := files.claim(NOW, 3, "worker", "token", LEASE_SECONDS):
    print(*(file.id for file in claimed), flush=True)
database.close()
