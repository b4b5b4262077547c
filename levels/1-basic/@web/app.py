"""The service's web application: an example to replace."""

import asyncio
import json
import os
import urllib.request
from urllib.parse import quote

from flask import Blueprint, Flask, current_app
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from services.serving import log_requests, number_setting, set_up_logs

from .health import init_service

prices = Blueprint("prices", __name__)


def percent_change(before: float, now: float) -> float:
    """Return by how many percent a price has changed. Raises ValueError where there was none before."""
    if before <= 0:
        raise ValueError(f"expected a price above 0, got {before:g}")
    return round((now - before) / before * 100, 2)


async def fetch_prices(urls: list[str], timeout: float) -> list[float]:
    """Return the prices that stand at `urls`, asked for at once. Raises OSError, or ValueError for nonsense."""

    def fetch(url: str) -> float:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return float(json.load(response)["price"])

    return await asyncio.gather(*(asyncio.to_thread(fetch, url) for url in urls))


@prices.get("/changes/<symbol>")
def change(symbol: str) -> ResponseReturnValue:
    """Answer by how many percent a price has changed since yesterday."""
    urls = [f"{current_app.config['PRICES_URL']}/{quote(symbol, safe='')}/{day}" for day in ("yesterday", "today")]
    try:
        before, now = asyncio.run(fetch_prices(urls, current_app.config["TIMEOUT_SECONDS"]))
        return {"symbol": symbol, "percent": percent_change(before, now)}
    except (OSError, ValueError, LookupError) as error:
        current_app.logger.warning("no prices of %s: %s", symbol, error)
        return {"error": "the prices can't be had at the moment"}, 502


def json_error(error: HTTPException) -> ResponseReturnValue:
    """Answer what went wrong (404, 405, 500 and others) in JSON."""
    headers = [header for header in error.get_headers() if header[0] != "Content-Type"]
    return {"error": error.description}, error.code or 500, headers


def create_app() -> Flask:
    """Return the application, with its settings from the environment. Raises SettingsError."""
    set_up_logs()
    app = Flask(__name__)
    log_requests(app)
    # It answers /<symbol>/<day> with {"price": 1.5}.
    app.config["PRICES_URL"] = os.getenv("PRICES_URL") or "http://127.0.0.1:9000"
    app.config["TIMEOUT_SECONDS"] = number_setting("TIMEOUT_SECONDS", 2)
    app.register_blueprint(prices)
    app.register_error_handler(HTTPException, json_error)
    return init_service(app, os.getenv("SERVICE_NAME") or __name__.split(".")[-2].replace("_", "-"))
