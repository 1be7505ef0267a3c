"""Whether other machines can reach this process."""

import contextlib
import ipaddress
import os
import socket
import stat


def listens_beyond_loopback() -> bool:
    """Look at this process's own listening sockets: no server tells the application where it listens."""
    return any(not ipaddress.ip_address(host).is_loopback for host in listening_addresses())


def listening_addresses() -> list[str]:
    addresses = []
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # closed since the listing
            # Sockets alone: closing a duplicate of SQLite's file would drop this process's locks on the database.
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as candidate:
                internet = candidate.family in (socket.AF_INET, socket.AF_INET6)
                if internet and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    addresses.append(candidate.getsockname()[0])
    return addresses
