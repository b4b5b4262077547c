"""How to test: a function, an async one, one with a mock, a route, and what goes wrong.

Import what you test inside the test, or in a fixture: conftest.py says why.
"""

import asyncio
from unittest.mock import AsyncMock, patch

import pytest


@pytest.fixture
def client():
    """A browser of sorts: it calls the routes without a server."""
    from app import create_app

    return create_app().test_client()


# A function: what goes in, what must come out. One line for each case that matters.
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1.0K"),
        (1_234_567, "1.2M"),
        (-2_500_000_000, "-2.5B"),
    ],
)
def test_large_numbers_are_short(value, text):
    from app import format_large_number

    assert format_large_number(value) == text


# An async function: asyncio.run waits for it.
def test_a_count_is_fetched():
    from app import fetch_count

    assert asyncio.run(fetch_count("orders")) == 950


# What must fail: the exception is the result.
def test_what_nobody_counts_is_a_key_error():
    from app import fetch_count

    with pytest.raises(KeyError):
        asyncio.run(fetch_count("unicorns"))


# A mock: replace what reaches outside, and look at what the route makes of it.
def test_a_route_shows_what_was_fetched(client):
    with patch("app.fetch_count", AsyncMock(return_value=3_400_000)) as fetch_count:
        response = client.get("/counts/followers")

    fetch_count.assert_awaited_once_with("followers")
    assert response.status_code == 200
    assert response.json == {"name": "followers", "count": 3_400_000, "text": "3.4M"}


def test_a_route_says_what_is_missing(client):
    response = client.get("/counts/unicorns")

    assert response.status_code == 404
    assert response.json == {"error": "nobody counts unicorns"}


def test_a_wrong_setting_is_named():
    from config import ConfigError, load

    with pytest.raises(ConfigError, match="TIMEOUT_SECONDS=soon: expected a number"):
        load({"TIMEOUT_SECONDS": "soon"})
