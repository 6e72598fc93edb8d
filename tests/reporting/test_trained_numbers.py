"""Tests of counting trained numbers."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from pasam.errors import CheckpointError
from pasam.reporting.trained_numbers import trained_numbers


def test_all_numbers_of_all_tensors_are_counted(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float16)}, path)
    assert trained_numbers(path) == 10


@pytest.mark.parametrize("content", [None, b"no tensors"])
def test_a_missing_or_foreign_file_says_what_to_do(tmp_path, content):
    path = tmp_path / "a.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match="a.safetensors cannot be read.*dvc repro train"):
        trained_numbers(path)
