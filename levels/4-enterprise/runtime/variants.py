"""Variants of an experiment, assigned so that a user always gets the same one.

`init_service` calls `init`, which puts a `Variants` into app.extensions["variants"]; the service asks it:
`assign("new-checkout", user_id)`. It does something only while FEATURE_FLAGS holds `a_b_testing`; without
that flag everybody gets the control variant. The experiments stand in config/variants.json.
"""

import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

FLAG = "a_b_testing"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
log = logging.getLogger("variants")


class VariantsError(ValueError):
    """config/variants.json is missing or wrong, or an experiment isn't in it. The message is one line."""


def config_file() -> Path:
    """Return the file with the experiments: VARIANTS_FILE, or the project's config/variants.json.

    Raises VariantsError when there is none.
    """
    if named := os.environ.get("VARIANTS_FILE"):
        return Path(named)
    file = Path(__file__).resolve().parents[1] / "config" / "variants.json"
    if file.is_file():
        return file
    raise VariantsError("config/variants.json is missing: add it, or name another file in VARIANTS_FILE")


def load(file: Path) -> dict[str, Any]:
    """Read and check the experiments in `file`; return them as they stand there.

    Raises VariantsError, with one line that says where and what was expected.
    """
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise VariantsError(f"{file}: can't be read ({error.strerror})") from error
    except ValueError as error:
        raise VariantsError(f"{file}: not JSON ({error})") from error
    if not isinstance(config, dict) or not isinstance(config.get("experiments"), dict):
        raise VariantsError(f'{file}: expected {{"salt": "…", "experiments": {{…}}}}')
    if not isinstance(config.get("salt"), str):
        raise VariantsError(f"{file}: salt: expected a text")
    for name, experiment in config["experiments"].items():
        if problem := _problem(name, experiment):
            raise VariantsError(f"{file}: experiment {name!r}: {problem}")
    return config


def _problem(name: str, experiment: Any) -> str:
    """Say what is wrong with one experiment; an empty text when nothing is."""
    if not NAME.fullmatch(name):
        return "a name is made of a-z, 0-9, - and _"
    if not isinstance(experiment, dict) or not isinstance(experiment.get("weights"), dict):
        return 'expected {"control": "…", "weights": {"variant": 1, …}}'
    weights = experiment["weights"]
    for variant, weight in weights.items():
        # A bool is an int in Python, and Infinity and NaN get through JSON.
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e9:
            return f"the weight of {variant!r} is {weight!r}, expected a number from 0 up"
    # The keys as a list: what isn't a text may not be looked up in a dict.
    if experiment.get("control") not in list(weights):
        return f"control is {experiment.get('control')!r}, expected one of: {', '.join(weights)}"
    if not sum(weights.values()) > 0:
        return "at least one weight must be above 0"
    return ""


class Variants:
    """The experiments of one service."""

    def __init__(self, service_name: str, on: bool, file: Path | None = None) -> None:
        """Take the service's name, whether the flag is on, and the file (found by itself when not given)."""
        self.service_name = service_name
        self.on = on
        self._file = file
        self._config: dict[str, Any] | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The checked content of the file, read once. Raises VariantsError."""
        if self._config is None:
            self._config = load(self._file or config_file())
        return self._config

    def assign(self, experiment: str, user_id: object) -> str:
        """Return the name of the variant that this user gets, always the same one; log that the user saw it.

        The control variant, and no log line, when the flag is off or there is no user id (None or empty).
        Raises VariantsError when the experiment isn't in the file.
        """
        found = self.config["experiments"].get(experiment)
        if found is None:
            raise VariantsError(f"no experiment {experiment!r} in config/variants.json")
        user = "" if user_id is None else str(user_id)
        if not self.on or not user:
            return str(found["control"])
        variant = self._pick(experiment, found["weights"], user)
        # The user's id is personal data; the log needs only a name that is the same each time.
        seen_by = hashlib.sha256(f"{self.config['salt']}:{user}".encode()).hexdigest()[:16]
        seen = {"experiment": experiment, "variant": variant, "user": seen_by}
        # Both as fields, for logs in JSON, and in the text, for all others.
        text = " ".join(f"{key}={value}" for key, value in seen.items())
        log.info("exposure %s", text, extra={"event": "exposure", "service": self.service_name, **seen})
        return variant

    def _pick(self, experiment: str, weights: dict[str, float], user: str) -> str:
        """Map the user to a point between 0 and the sum of the weights, and return the variant that lies
        there.
        """
        digest = hashlib.sha256(f"{experiment}:{self.config['salt']}:{user}".encode()).digest()
        point = int.from_bytes(digest[:6], "big") / 2**48 * sum(weights.values())
        chosen = ""
        for variant, weight in weights.items():
            if weight > 0:
                chosen = variant
                if point < weight:
                    break
            point -= weight
        return chosen


def init(app: Any, service_name: str) -> Variants:
    """Put the service's `Variants` into app.extensions["variants"] (where app has extensions) and return it.

    With the flag on, raises VariantsError at once when the file is wrong: better at the start than in a
    request.
    """
    flags = {flag.strip() for flag in os.environ.get("FEATURE_FLAGS", "").split(",")}
    variants = Variants(service_name, FLAG in flags)
    if variants.on:
        log.setLevel(logging.INFO)
        log.info("experiments: %s", ", ".join(sorted(variants.config["experiments"])) or "none")
    if hasattr(app, "extensions"):
        app.extensions["variants"] = variants
    return variants
