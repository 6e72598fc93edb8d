"""The workflow: DVC stages, and what runs them.

Their commands say `python`, whichever that is: one without the project's packages is told so in a
line, before the first import of one would end in a traceback.
"""

import importlib.util
import sys

NEEDED = ("pydantic", "torch", "psutil")
"""Packages that no flow and no stage can do without."""

_missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if _missing:
    sys.stderr.write(
        f"error: {sys.executable}, Python {sys.version.split()[0]}, lacks {_missing[0]}; expected "
        "the project's own environment. `make` makes it, `source .venv/bin/activate` takes it.\n"
    )
    sys.exit(2)
