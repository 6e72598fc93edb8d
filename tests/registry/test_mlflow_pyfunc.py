"""MLflow's noise about itself is kept away; other warnings are not."""

from __future__ import annotations

import warnings

import pytest

from pasam.registry.store import quiet_pyfunc


def test_pyfunc_comes_without_its_noise_and_other_warnings_stay():
    with quiet_pyfunc() as pyfunc:
        assert callable(pyfunc.load_model)
        warnings.warn("An input example was not provided when logging", UserWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="something else"):
            warnings.warn("something else", UserWarning, stacklevel=1)
