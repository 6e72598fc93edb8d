"""The machine is described without loading anything heavy."""

from __future__ import annotations

import os
import subprocess
import sys

from pasam.registry.snapshot import hardware


def test_processor_memory_and_deciding_packages_are_named():
    found = hardware()
    assert found["cores"] == str(os.cpu_count())
    assert float(found["memory_gib"]) > 0
    assert found["torch"].startswith("2.")
    assert all(isinstance(value, str) and value for value in found.values())


def test_torch_is_not_loaded_for_it(root):
    code = (
        "import sys; from pasam.registry.snapshot import hardware; hardware(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "False\n"
