"""What the machine lacks is said, with what would help."""

import importlib.metadata
from pathlib import Path

import pytest

from pasam.cli.doctor import (
    check_disk,
    check_gpu,
    check_packages,
    check_python,
    explained,
    gpu_memories,
)
from pasam.cli.requirements import training_memory
from pasam.config.presets import compose
from pasam.config.schema import EmbedParams, TrainParams

GB = 1_000_000_000


@pytest.fixture
def paper(root):
    content = compose("paper", root / "params")
    return TrainParams(**content["train"]), EmbedParams(**content["embed"])


@pytest.fixture
def gpu(paper):
    train, embed = paper

    def look(*gpus, **changes):
        changed = train.replaced(**changes)
        memory = training_memory("vit_l", changed, embed)
        return check_gpu("vit_l", changed, embed, memory, probe=lambda: list(gpus))

    return look


@pytest.fixture
def packages(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("# comment\none==1.0\ntwo==2.0\n")

    def look(**there):
        def installed(name):
            if name not in there:
                raise importlib.metadata.PackageNotFoundError(name)
            return there[name]

        return check_packages(lock, installed)

    return look


def test_an_old_python_is_missing():
    assert check_python((3, 10, 4)).state == "missing"
    assert check_python((3, 11, 0)).state == "ok"


def test_packages_are_compared_with_the_lock_whatever_their_build(packages):
    assert packages(one="1.0", two="2.0+cpu").state == "ok"
    assert packages(one="1.0", two="2.1").found == "two 2.1 instead of 2.0"
    assert packages(one="1.0", two="2.1").state == "note"
    absent = packages(one="1.0")
    assert (absent.state, absent.found) == ("missing", "1 of 2 are not installed: two")
    assert "pip install -r" in absent.remedy


def test_without_a_lock_nothing_is_compared(tmp_path):
    assert check_packages(tmp_path / "none").state == "note"


def test_this_environment_is_the_locks(root):
    assert check_packages(root / "requirements.lock").state != "missing"


def test_a_disk_too_small_says_how_much_to_free(tmp_path):
    assert check_disk(tmp_path, 1, "pictures").state == "ok"
    full = check_disk(tmp_path, 10**18, "pictures 10 GB")
    assert full.state == "missing"
    assert "(pictures 10 GB)" in full.found
    assert full.remedy.startswith("free ")


def test_enough_large_gpus_are_fine(gpu):
    assert gpu(*[80 * GB] * 8).state == "ok"


def test_too_few_gpus_name_the_settings_for_those_there(gpu):
    few = gpu(80 * GB, 80 * GB)
    assert few.state == "missing"
    assert "train.devices: 2 with train.batch_size: 16 for the same steps" in few.remedy
    assert "train.accelerator: cpu" in gpu().remedy


def test_a_gpu_too_small_names_the_batch_that_fits(gpu):
    small = gpu(*[12 * GB] * 8)
    assert (small.state, small.remedy) == ("missing", "train.batch_size: 2")
    assert "a smaller base" in gpu(*[3 * GB] * 8).remedy


def test_no_gpu_is_asked_for_on_the_cpu(gpu):
    assert gpu(accelerator="cpu").state == "ok"
    assert gpu(accelerator="auto").state == "note"


def test_the_memory_is_explained_by_its_parts(paper):
    train, embed = paper
    words = explained(training_memory("vit_l", train, embed), train)
    assert words == (
        "weights 1.2 GB, encoder 12.9 GB, decoder 1.7 GB, CUDA 1.0 GB, at train.batch_size 4"
    )
    packed = embed.replaced(views=1)
    assert "encoder" not in explained(training_memory("vit_l", train, packed), train)


def test_gpus_are_listed_by_their_memory():
    assert all(memory > 0 for memory in gpu_memories())


def test_the_disk_of_a_relative_folder_is_found():
    assert check_disk(Path(), 1, "").state == "ok"
