"""Logs on the console, for people or for collectors."""

import json
import logging
from datetime import UTC, datetime

from settings import Settings

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class PortTaken(logging.Filter):
    """Adds to the server's "address already in use" what to do about it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "address already in use" in record.getMessage():
            record.msg = f"{record.getMessage()}. Another program has this port (on macOS often AirPlay): choose "
            record.msg += "another one, PORT=5001 make run, or --port 5001."
            record.args = ()
        return True


def configure(settings: Settings) -> None:
    """All loggers, the web server's included, through one handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if settings.log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    logging.getLogger("uvicorn.error").addFilter(PortTaken())
    # Its INFO tells every plugin and table it looks at.
    logging.getLogger("alembic").setLevel(logging.WARNING)
