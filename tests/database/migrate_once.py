"""One of several processes that bring a database up to date at the same moment: `migrate_once.py URL`."""

import sys

import alembic.command  # noqa: F401 - a slow import: without it the processes would not meet

from database.engine import Database
from database.migrate import upgrade

database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
upgrade(database)
database.close()
