"""Types that docstrings tell, in the three forms that people write."""

from __future__ import annotations

import pytest

from extensions.source.docstrings import types

GOOGLE = """Round.

    Args:
        amount (float): What.
            Of which (int): a line more.
        names (list[str], optional): Whose.
        *rest (int): More.
        callback (callable(int)): No annotation.
        free: No type.

    Returns:
        str or None: The text.

    Raises:
        KeyError (really): No parameter.
"""
NUMPY = """Round.

    Parameters
    ----------
    amount : float
        What : it is.
    names : list of str
        No annotation.
    rate : int, optional

    Returns
    -------
    total : dict[str, int]
        What : comes.
"""
SPHINX = """Round.

    :param float amount: What.
    :param names: Whose.
    :type names: list[string]
    :rtype: boolean
    """


@pytest.mark.parametrize(
    ("docstring", "parameters", "returns"),
    [
        (GOOGLE, {"amount": "float", "names": "list[str]", "rest": "int"}, "str | None"),
        (NUMPY, {"amount": "float", "rate": "int"}, "dict[str, int]"),
        (SPHINX, {"amount": "float", "names": "list[str]"}, "bool"),
        ("One line: int.", {}, ""),
        ("Returns:\n    The text: it is long.", {}, ""),
        ("Returns:\n    int", {}, ""),
        ("Args:\n    x (in)t): odd", {}, ""),
        (None, {}, ""),
    ],
)
def test_types_of_a_docstring(docstring: str | None, parameters: dict[str, str], returns: str) -> None:
    assert types(docstring) == (parameters, returns)
