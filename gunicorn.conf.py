"""What `gunicorn app:app` does when its command line says nothing else; gunicorn reads this file by itself.

Behind a reverse proxy on another host, name that host in FORWARDED_ALLOW_IPS, else its X-Forwarded-* is ignored.
"""

import math
import os

from settings import Settings

bind = f"0.0.0.0:{os.environ.get('PORT') or 5000}"
worker_class = "uvicorn.workers.UvicornWorker"

# A stopping process first finishes the pictures in hand: only after that, and some time to say goodbye, is it killed.
settings = Settings()
graceful_timeout = math.ceil(settings.pre_stop_seconds + settings.drain_seconds) + 10
# A draining process gives no sign of life, and on a reload gunicorn kills the silent ones.
timeout = max(60, graceful_timeout)

# Longer than the idle time of a proxy (nginx: 60 s), so that never we close a connection that it is about to use.
keepalive = 75

# The sign of life is a touched file: in memory it can neither block on a slow disk nor need a writable one.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None
# It would be made in the home folder, which service users do not have.
control_socket_disable = True
