"""The service's web application: an example to replace."""

import asyncio
import json
import os
import urllib.request
from dataclasses import dataclass

from flask import Blueprint, Flask, current_app
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from services.serving import Settings, log_requests, set_up_logs

from .health import init_service

prices = Blueprint("prices", __name__)


@dataclass(frozen=True)
class PriceSettings(Settings):
    """What this service can be told besides: PRICES_URL answers /<symbol>/<day> with {"price": 1.5}."""

    prices_url: str = "http://127.0.0.1:9000"
    timeout_seconds: float = 2.0


def percent_change(before: float, now: float) -> float:
    """Return by how many percent a price has changed. Raises ValueError where there was none before."""
    if before <= 0:
        raise ValueError(f"expected a price above 0, got {before:g}")
    return round((now - before) / before * 100, 2)


async def fetch_price(url: str, timeout: float) -> float:
    """Return the price that stands at `url`. Raises OSError where nobody answers in time, ValueError for nonsense."""
    with await asyncio.to_thread(urllib.request.urlopen, url, timeout=timeout) as response:
        return float(json.load(response)["price"])


async def fetch_change(symbol: str, settings: PriceSettings) -> float:
    """Return by how many percent a symbol has changed since yesterday; both days are asked for at once."""
    urls = (f"{settings.prices_url}/{symbol}/{day}" for day in ("yesterday", "today"))
    return percent_change(*await asyncio.gather(*(fetch_price(url, settings.timeout_seconds) for url in urls)))


@prices.get("/changes/<symbol>")
def change(symbol: str) -> ResponseReturnValue:
    """Answer how a price has changed."""
    try:
        return {"symbol": symbol, "percent": asyncio.run(fetch_change(symbol, current_app.config["SETTINGS"]))}
    except (OSError, ValueError, LookupError) as error:
        current_app.logger.warning("no prices of %s: %s", symbol, error)
        return {"error": "the prices can't be had at the moment"}, 502


def json_error(error: HTTPException) -> ResponseReturnValue:
    """Answer what went wrong (404, 405, 500 and others) in JSON."""
    headers = [header for header in error.get_headers() if header[0] != "Content-Type"]
    return {"error": error.description}, error.code or 500, headers


def create_app(settings: PriceSettings | None = None) -> Flask:
    """Return the application; its settings are the environment's, unless given. Raises SettingsError."""
    app = Flask(__name__)
    app.config["SETTINGS"] = settings or PriceSettings.load(os.environ)
    set_up_logs(app.config["SETTINGS"].log_level)
    app.register_blueprint(prices)
    app.register_error_handler(HTTPException, json_error)
    app.wsgi_app = log_requests(app.wsgi_app)  # type: ignore[method-assign]
    return init_service(app, os.getenv("SERVICE_NAME") or __name__.split(".")[-2].replace("_", "-"))
