"""Running the application on an address."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from pasam.errors import ParamsError
from pasam.serving.app import address_of, is_loopback, listen

SERVER = """
import asyncio
from fastapi import FastAPI
from pasam.serving.app import listen, run_server, address_of
app = FastAPI()
@app.get("/slow")
async def slow():
    print("begun", flush=True)
    await asyncio.sleep(0.5)
    return "done"
taken = listen("127.0.0.1", 0)
run_server(app, taken, log_level="warning", when_ready=lambda: print(address_of(taken), flush=True))
"""


def test_a_taken_port_is_an_error_that_says_so():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address_of(taken) == f"http://127.0.0.1:{port}/"
        with pytest.raises(ParamsError, match="something else listens there"):
            listen("127.0.0.1", port)
    with pytest.raises(ParamsError, match="cannot listen on no such host"):
        listen("no such host", 0)


@pytest.mark.parametrize(
    ("host", "inside"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("box", False)],
)
def test_loopback_is_told_from_the_rest(host, inside):
    assert is_loopback(host) is inside


def test_told_to_stop_it_finishes_what_is_in_flight():
    from concurrent.futures import ThreadPoolExecutor
    from urllib.request import urlopen

    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout, ThreadPoolExecutor(1) as pool:
        address = process.stdout.readline().strip()
        answer = pool.submit(lambda: urlopen(f"{address}slow", timeout=20).read())
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert answer.result() == b'"done"'
    assert process.wait(20) == -signal.SIGTERM
