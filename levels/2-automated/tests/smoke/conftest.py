"""What smoke tests have: `service`, the name of each web service in turn, and `ask`, which asks one over HTTP.

A deploy and the make target `smoke` set SMOKE_URLS, where the services answer; without it nothing here is collected.
"""

import json
import os
import urllib.error
import urllib.request

import pytest

URLS = json.loads(os.environ.get("SMOKE_URLS", "{}"))
METHODS = os.environ.get("SMOKE_METHODS", "GET HEAD").split()
collect_ignore_glob = [] if "SMOKE_URLS" in os.environ else ["*"]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the answer that it is."""

    def redirect_request(self, *_):
        return None


@pytest.fixture
def ask():
    """Return ask(service, path), which gives the answer's status, headers and text; no proxy is used."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)

    def ask(service, path, method="GET", body=None, headers=None, seconds=10):
        if method not in METHODS:
            pytest.fail(f"{method}: gate.smoke_methods of config/deploy.toml allows {' '.join(METHODS)}", pytrace=False)
        try:
            request = urllib.request.Request(URLS[service] + path, body, headers or {}, method=method)
            with opener.open(request, timeout=seconds) as answer:
                return answer.status, answer.headers, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode(errors="replace")
        except OSError as error:
            pytest.fail(f"{method} {path} of {service}: {error}", pytrace=False)

    return ask


def pytest_generate_tests(metafunc):
    """Run a test that takes `service` once for each web service."""
    if "service" in metafunc.fixturenames:
        metafunc.parametrize("service", URLS)
