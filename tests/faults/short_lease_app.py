"""The service with a lease far below the least that the setting allows, so that tests see it end: two seconds."""

from app import create_app
from settings import Settings

LEASE_SECONDS = 2.0

app = create_app(Settings().model_copy(update={"lease_seconds": LEASE_SECONDS}))
