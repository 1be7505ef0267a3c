"""Logs on the console, for people or for collectors."""

import json
import logging
from datetime import UTC, datetime

from errors import ServiceError
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


class Trouble:
    """Of something that is tried again and again: one line when it begins or changes, and one when it is over."""

    def __init__(self, logger: logging.Logger, action: str) -> None:
        self._logger = logger
        self._action = action
        self._told: str | None = None

    def note(self, error: Exception) -> None:
        """With a traceback when nobody foresaw it."""
        if str(error) != self._told:
            self._told = str(error)
            unforeseen = None if isinstance(error, ServiceError) else error
            self._logger.error("%s has trouble and is tried again: %s", self._action, error, exc_info=unforeseen)

    def over(self) -> None:
        if self._told is not None:
            self._logger.warning("%s works again", self._action)
            self._told = None


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
