"""Security headers, the flags of cookies, and a limit for bodies, as config/security.toml says.

What the application sets itself stays: a header of its own, and a setting that isn't Flask's default.
"""

import logging
import tomllib
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[1] / "config" / "security.toml"
# What the file may hold, and Flask's defaults; Flask-Login's cookie has the same ones after REMEMBER_COOKIE_.
KINDS: dict[str, Any] = {"enabled": bool, "max_body_bytes": int, "cookies": dict, "headers": dict}
COOKIES: dict[str, Any] = {"secure": False, "httponly": True, "samesite": None}
ALLOWED = {"samesite": (False, "Lax", "Strict", "None")}


class SecurityError(ValueError):
    """config/security.toml is wrong; the message is one line."""


def read() -> dict[str, Any]:
    """Return what the file says. Raises SecurityError at the first mistake."""
    try:
        told = tomllib.loads(FILE.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SecurityError(f"{FILE}: expected TOML: {error}") from None
    wrong = {key: value for key, value in told.items() if type(value) is not KINDS.get(key)}
    for key, value in told.get("headers", {}).items() if not wrong else ():
        if not isinstance(value, str) or not value.isprintable():
            wrong[f"headers.{key}"] = value
    for key, value in told.get("cookies", {}).items() if not wrong else ():
        if key not in COOKIES or value not in ALLOWED.get(key, (True, False)):
            wrong[f"cookies.{key}"] = value
    for key, value in wrong.items():
        expected = "a text of one line" if "headers." in key else "what its comments say"
        expected = expected if "." in key else ", ".join(KINDS)
        raise SecurityError(f"{FILE}: {key} = {value!r:.60}: expected {expected}")
    return told


def init(app: Any, service_name: str) -> None:
    """Have a Flask application answer as the file says. Raises SecurityError; without the file it only warns."""
    if not hasattr(app, "after_request"):  # a worker: it has no visitors
        return
    if not FILE.is_file():
        logging.getLogger(__name__).warning("%s: %s isn't here: no security headers", service_name, FILE)
        return
    told = read()
    if not told.get("enabled", True):
        return
    if app.config.get("MAX_CONTENT_LENGTH") is None:
        app.config["MAX_CONTENT_LENGTH"] = told.get("max_body_bytes")
    for key, value in told.get("cookies", {}).items():
        for name in (f"SESSION_COOKIE_{key.upper()}", f"REMEMBER_COOKIE_{key.upper()}"):
            if app.config.get(name, COOKIES[key]) == COOKIES[key]:
                app.config[name] = value or None if key == "samesite" else value

    @app.after_request
    def add_headers(response: Any) -> Any:
        for name, value in told.get("headers", {}).items():
            response.headers.setdefault(name, value)
        return response
