"""The error tree: roots and exit codes."""

from __future__ import annotations

import inspect

import pytest

from pasam import errors

TREE = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("cls", TREE)
def test_every_error_is_a_pasam_error(cls):
    assert issubclass(cls, errors.PasamError)


@pytest.mark.parametrize("cls", TREE)
def test_the_drawn_tree_names_every_error(cls):
    assert cls.__name__ in errors.__doc__


def test_only_a_passing_fault_has_the_exit_code_that_means_retry():
    codes = {cls.__name__: cls.exit_code for cls in TREE}
    assert codes.pop("TransientError") == 75
    assert set(codes.values()) == {2}
