"""Each service's own application answers both probes, whatever guards its routes."""

import importlib
import json
from pathlib import Path

import pytest
from werkzeug.test import Client

ROOT = Path(__file__).resolve().parents[2]
PROJECT = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))
SERVICES = [service for service in PROJECT["services"] if service["code"] == "ours"]


def load(service):
    """Return the WSGI application of a service; of a worker its health's, so that no work is begun."""
    if service["kind"] == "worker":
        health = importlib.import_module(service["path"].replace("/", ".") + ".health")
        return health.serve_health(service["name"], port=0).get_app()
    module, _, factory = service["app"].partition(":")
    return getattr(importlib.import_module(module), factory.removesuffix("()"))()


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service["name"])
def test_the_service_answers_its_probes(service):
    client = Client(load(service))
    health, readiness = client.get("/-/health"), client.get("/-/readiness")
    assert (health.status_code, health.json["service"]) == (200, service["name"])
    # Only what the service says that it needs, and what isn't here, may say no.
    assert readiness.json["ready"] or (ROOT / service["path"] / "readiness.py").is_file(), readiness.json
    assert readiness.status_code == (200 if readiness.json["ready"] else 503)
