"""The command line of the queue. It speaks HTTP only and imports nothing of the server."""
