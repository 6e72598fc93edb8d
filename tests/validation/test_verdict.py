"""Training starts with a verdict that says yes about the very manifest it uses."""

import dataclasses

import pytest

from pasam.errors import DataError
from pasam.files import file_sha256
from pasam.validation.verdict import Verdict, read_verdict, require_passed, write_verdict


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "manifest").write_text("rows")
    return tmp_path / "manifest"


@pytest.fixture
def passed(manifest):
    return Verdict(
        passed=True, errors=(), warnings=("images_are_unique",), masks=3, invalid=1, quarantined=2,
        manifest_sha256=file_sha256(manifest),
    )  # fmt: skip


def test_what_is_written_is_read(tmp_path, passed):
    write_verdict(tmp_path / "v", passed)
    assert read_verdict(tmp_path / "v") == passed


def test_warnings_do_not_stop_training(tmp_path, manifest, passed):
    write_verdict(tmp_path / "v", passed)
    require_passed(tmp_path / "v", manifest)


def test_an_error_stops_training_by_name(tmp_path, manifest, passed):
    failed = dataclasses.replace(passed, passed=False, errors=("images_decode", "sizes_agree"))
    write_verdict(tmp_path / "v", failed)
    with pytest.raises(DataError, match="not fit: images_decode, sizes_agree failed"):
        require_passed(tmp_path / "v", manifest)


def test_a_verdict_on_another_manifest_is_none(tmp_path, manifest, passed):
    write_verdict(tmp_path / "v", passed)
    manifest.write_text("other rows")
    with pytest.raises(DataError, match=r"v is about another .*manifest than the present one"):
        require_passed(tmp_path / "v", manifest)


def test_a_verdict_on_a_manifest_that_is_gone_is_none(tmp_path, manifest, passed):
    write_verdict(tmp_path / "v", passed)
    manifest.unlink()
    with pytest.raises(DataError, match=r"manifest does not exist\. Run `dvc repro prepare`"):
        require_passed(tmp_path / "v", manifest)


def test_without_a_verdict_nothing_starts(tmp_path, manifest):
    with pytest.raises(DataError, match=r"v does not exist: the data was not validated"):
        require_passed(tmp_path / "v", manifest)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"passed": true}'])
def test_another_file_is_no_verdict(tmp_path, text):
    (tmp_path / "v").write_text(text)
    with pytest.raises(DataError, match="v is not a verdict"):
        read_verdict(tmp_path / "v")
