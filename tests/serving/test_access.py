"""Who may use the service."""

from __future__ import annotations

import pytest

from pasam.errors import ParamsError, RefusedError
from pasam.serving.request_guard import check_origin, check_token, read_token

TOKEN = "0123456789abcdef"


def test_the_token_is_the_first_line_of_its_file(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\nnotes\n")
    assert read_token(tmp_path / "token") == TOKEN


@pytest.mark.parametrize("content", ["", "short", "with spaces in the token", "ümläuteümläute1234"])
def test_a_weak_token_is_refused(content, tmp_path):
    (tmp_path / "token").write_text(content, encoding="utf-8")
    with pytest.raises(ParamsError, match="expected 16 or more"):
        read_token(tmp_path / "token")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match="does not exist"):
        read_token(tmp_path / "token")


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"]
)
def test_only_the_token_opens(given):
    check_token({"authorization": f"Bearer {TOKEN}"}, TOKEN)
    check_token({"authorization": given}, None)
    with pytest.raises(RefusedError, match="needs a token") as refused:
        check_token({"authorization": given}, TOKEN)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:8000"}, 421),
        ({"host": ""}, 421),
        ({"host": "[broken"}, 421),
        ({"host": "localhost:8000", "origin": "https://evil.example"}, 403),
        ({"host": "localhost:8000", "origin": "null"}, 403),
    ],
)
def test_another_sites_page_is_refused_on_loopback(headers, status):
    with pytest.raises(RefusedError) as refused:
        check_origin(headers, loopback_only=True)
    assert refused.value.status == status


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_the_services_own_page_is_let_in(host):
    check_origin({"host": host}, loopback_only=True)
    check_origin({"host": host, "origin": f"http://{host}"}, loopback_only=True)
    check_origin({"host": "models.example"}, loopback_only=False)
