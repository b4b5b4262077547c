"""How to test: a function, an async one, one with a mock, and what goes wrong.

Import what you test inside the test: conftest.py says why.
"""

import asyncio
from unittest.mock import AsyncMock, patch

import pytest


# A function: what goes in, what must come out. One line for each case that matters.
@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("hello", "You said 1 word."),
        ("  how are  you ", "You said 3 words."),
    ],
)
def test_words_are_counted(text, reply):
    from worker import reply_to

    assert reply_to(text) == reply


# What must fail: the exception is the result.
def test_an_empty_message_has_no_answer():
    from worker import reply_to

    with pytest.raises(ValueError, match="expected a message"):
        reply_to("  ")


# An async function: asyncio.run waits for it.
def test_nothing_waits_at_first():
    from worker import fetch_messages

    assert asyncio.run(fetch_messages()) == []


# A mock: replace what reaches outside, and look at what is made of it.
def test_one_bad_message_does_not_stop_the_others():
    from worker import work

    fetch_messages = AsyncMock(return_value=["good morning", "", "bye"])
    with patch("worker.fetch_messages", fetch_messages):
        replies = asyncio.run(work())

    fetch_messages.assert_awaited_once_with()
    assert replies == ["You said 2 words.", "You said 1 word."]


def test_a_wrong_setting_is_named():
    from config import ConfigError, load

    with pytest.raises(ConfigError, match="PORT=99999: expected a whole number"):
        load({"PORT": "99999"})
