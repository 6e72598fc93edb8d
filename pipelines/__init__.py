"""The workflow: DVC stages, and what runs them."""

import importlib.util
import sys

# Before anything else is imported: started by another Python, a worker would end in a traceback,
# and with exit code 1, which is a judgement's.
_LACKING = [name for name in ("dvc", "pydantic", "torch") if not importlib.util.find_spec(name)]
if sys.version_info < (3, 11) or _LACKING:
    sys.stderr.write(
        f"error: {sys.executable} is Python {sys.version.split()[0]} and lacks "
        f"{', '.join(_LACKING) or 'no package'}; expected the project's own environment with "
        "Python 3.11 or later. `make` installs it, `source .venv/bin/activate` takes it.\n"
    )
    sys.exit(2)
