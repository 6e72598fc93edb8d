"""MLflow's pyfunc without the warnings that it gives about its own types and advice."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_NOISE = ("Any type hint is inferred as AnyType", "An input example was not provided")


@contextmanager
def quiet_pyfunc() -> Iterator[ModuleType]:
    """Give `mlflow.pyfunc`; importing it takes a second and a half, so only where it is needed."""
    with warnings.catch_warnings():
        for words in _NOISE:
            warnings.filterwarnings("ignore", f"(?s).*{words}")
        import mlflow.pyfunc

        yield mlflow.pyfunc
