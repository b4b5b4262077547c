"""The service's web application.

Routes stand here; the work is done by functions that know nothing of the web.
"""

import asyncio
import os
from pathlib import Path

from flask import Flask
from flask.typing import ResponseReturnValue

import config
import logs
from health import init_service

# An example: here a database or another service would be asked.
COUNTS = {"visitors": 1_234_567, "orders": 950}


def format_large_number(value: float) -> str:
    """Return a number as people say it: 950, 1.2K, 3.4M, 5.6B."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.1f}{letter}"
    return f"{value:g}"


async def fetch_count(name: str) -> int:
    """Return how many there are of `name`. Raises KeyError where nobody counts them."""
    await asyncio.sleep(0)
    return COUNTS[name]


def create_app(settings: config.Config | None = None) -> Flask:
    """Return the application; its settings are the environment's, unless given."""
    settings = settings or config.load(os.environ)
    name = os.getenv("SERVICE_NAME") or Path(__file__).resolve().parent.name
    logs.setup(name, settings.log_level)
    app = Flask(__name__)
    init_service(app, name)

    @app.get("/counts/<name>")
    def count(name: str) -> ResponseReturnValue:
        async def in_time() -> int:
            return await asyncio.wait_for(fetch_count(name), settings.timeout_seconds)

        try:
            value = asyncio.run(in_time())
        except KeyError:
            return {"error": f"nobody counts {name}"}, 404
        except TimeoutError:
            return {"error": "the count took too long"}, 504
        return {"name": name, "count": value, "text": format_large_number(value)}

    return app
