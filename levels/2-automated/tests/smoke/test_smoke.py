"""Smoke tests: what must work once a release gets requests, or the release before comes back.

Yours. Add what your users would miss first: a page that opens, a list that isn't empty.
"""

import json


def test_service_is_healthy(ask, service):
    status, _, text = ask(service, "/-/health")
    assert (status, json.loads(text)["service"]) == (200, service)


def test_service_is_ready(ask, service):
    status, _, text = ask(service, "/-/readiness")
    assert status == 200, text
