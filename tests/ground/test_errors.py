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
    passing = {cls for cls in TREE if issubclass(cls, errors.TransientError)}
    assert {cls.exit_code for cls in passing} == {75}
    assert {cls.exit_code for cls in set(TREE) - passing} == {2}
