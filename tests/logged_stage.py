"""A DVC stage for small pipelines of tests: it says when it ran, and writes what it was given."""

STAGE = """\
import os, pathlib, sys, time
out, *deps = sys.argv[1:]
began = time.monotonic()
seen = os.environ.get(os.environ.get("LOGGED", ""), "-")
time.sleep(float(os.environ.get("SECONDS_EACH", "0")))
with open(os.environ["RAN"], "a") as ran:  # at once: others write there, too
    ran.write(f"{out} {seen} {began} {time.monotonic()}\\n")
if out in os.environ.get("BROKEN", "").split():
    sys.exit(2)
text = "".join(pathlib.Path(dep).read_text() for dep in deps)
pathlib.Path(out).write_text(f"{out}({text})")
"""
"""Run as `python stage.py OUT DEPS`, with variables: RAN, the file to which each run adds OUT, the
value of the variable that LOGGED names, begin and end; SECONDS_EACH; BROKEN, stages that fail."""
