"""The commands `pasam data`, as a person types them."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from filelock import FileLock
from small_world import dump_yaml, load_yaml
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.sets import fetching, registering
from pasam.config.params_file import read_params
from pasam.data.manifest import inventory_frame, write_inventory
from pasam.data.preparation import collect_own
from pasam.data.quarantine import Quarantine, read_quarantine
from pasam.errors import DataError
from pasam.masks.images import write_png
from pasam.serving.feedback import FeedbackStore
from pasam.validation.drift import read_accepted

WEIGHTS = b"weights"


@pytest.fixture
def pasam(in_empty_folder):
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ("data", *arguments))


@pytest.fixture
def own(in_empty_folder):
    """A catalogue of one's own and a folder with what it names."""
    entry = {
        "role": "checkpoint", "archives": ["own.pth"], "layout": None, "images": None,
        "licence": None, "citation": None,
    }  # fmt: skip
    content = {
        "archives": {"own.pth": {"address": None, "sha256": None, "size": len(WEIGHTS)}},
        "entries": {"own": {**entry, "hint": "Ask the team."}},
    }
    (in_empty_folder / "own.yaml").write_text(dump_yaml(content))
    (in_empty_folder / "mirror").mkdir()
    (in_empty_folder / "mirror" / "own.pth").write_bytes(WEIGHTS)
    return ("own", "--extra", "own.yaml", "--from", "mirror")


@pytest.mark.parametrize("command", ["list", "show", "fetch"])
def test_each_help_has_an_example(pasam, command):
    assert f"Example: pasam data {command} " in pasam(command, "--help").output


def test_list_names_sizes_and_groups(pasam):
    output = pasam("list").output
    assert "HRSOD" in output
    assert "thin_object_detection.zip" in output
    assert "44,320" not in output  # sums are the reader's
    assert "hqseg44k_benchmarks: DIS5K-VD, COIFT, HRSOD, ThinObject5K-TE" in output


def test_list_of_one_role_leaves_the_others_out(pasam):
    entries = json.loads(pasam("list", "--role", "benchmark", "--json").output)
    assert [entry["name"] for entry in entries] == ["DIS5K-VD", "COIFT", "HRSOD", "ThinObject5K-TE"]


def test_an_unknown_role_is_one_line_and_exit_code_2(pasam):
    result = pasam("list", "--role", "test")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: There is no role 'test'. Known roles: ")
    assert result.stderr.count("\n") == 1


def test_show_prints_all_that_is_known(pasam):
    shown = load_yaml(pasam("show", "HRSOD").output)
    assert shown["images"] == 287
    assert shown["layout"]["masks"] == "thin_object_detection/HRSOD/masks_max255"
    assert shown["archives"][0]["sha256"] is None


def test_show_prints_a_group_as_several_documents(pasam):
    shown = list(yaml.safe_load_all(pasam("show", "hqseg44k_benchmarks").output))
    assert [entry["images"] for entry in shown] == [470, 280, 287, 500]


def test_show_prints_a_group_for_programs(pasam):
    shown = json.loads(pasam("show", "sam", "--json").output)
    assert [entry["name"] for entry in shown] == ["sam_vit_b", "sam_vit_l", "sam_vit_h"]


def test_fetch_brings_records_and_says_so(pasam, own, in_empty_folder):
    result = pasam("fetch", *own)
    assert result.exit_code == 0
    assert result.output.startswith("own fetched to data/catalogue/own\n")
    assert "Nobody publishes checksums of own.pth: catalogue.lock now holds" in result.output
    assert (in_empty_folder / "data/catalogue/own/own.pth").read_bytes() == WEIGHTS
    recorded = load_yaml((in_empty_folder / "catalogue.lock").read_text())
    assert recorded == {"own.pth": hashlib.sha256(WEIGHTS).hexdigest()}


def test_a_second_fetch_says_that_all_is_there(pasam, own):
    pasam("fetch", *own)
    assert pasam("fetch", *own).output == "own is there already: data/catalogue/own\n"


def test_without_an_address_the_hint_is_told(pasam, own):
    result = pasam("fetch", *own[:3])
    assert result.exit_code == 2
    assert result.stderr == "error: own cannot be fetched. Ask the team.\n"


def test_a_passing_fault_has_its_own_exit_code(pasam, own, in_empty_folder):
    (in_empty_folder / "root").mkdir()
    with FileLock(in_empty_folder / "root" / ".fetch.lock"):
        result = pasam("fetch", *own, "--root", "root")
    assert result.exit_code == 75
    assert result.stderr == "error: Another fetch is at work in root. Wait for its end.\n"


def test_a_count_that_differs_from_the_catalogues_is_a_warning(pasam, in_empty_folder):
    (in_empty_folder / "mirror").mkdir()
    with zipfile.ZipFile(in_empty_folder / "mirror" / "DIS5K.zip", "w") as packed:
        packed.writestr("DIS5K/DIS-VD/im/0.jpg", b"")
        packed.writestr("DIS5K/DIS-VD/gt/0.png", b"")
    output = pasam("fetch", "DIS5K-VD", "--from", "mirror", "--no-keep-archives").output
    line = "DIS5K-VD fetched to data/catalogue/DIS5K-VD, 1 images; warning: the catalogue says 470"
    assert output.startswith(f"{line}\n")
    assert "name them in params.yaml: data.catalogue" in output


def test_list_counts_generated_sets_and_ones_own(pasam, in_empty_folder, root):
    shutil.copy(root / "params" / "default.yaml", "params.yaml")
    for name in ("im/a.jpg", "gt/a_0.png", "gt/a_1.png"):
        path = in_empty_folder / "data/own/val/cats" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    images = {e["name"]: e["images"] for e in json.loads(pasam("list", "--json").output)}
    generated = read_params()["data"]["generated"]["train_images"]
    assert (images["generated_train"], images["dis_like"], images["cats"]) == (generated, 60, 1)
    (cats,) = json.loads(pasam("list", "--role", "own", "--json").output)
    assert cats["hint"] == "data/own: 1 val"
    assert "cats" not in pasam("list", "--role", "benchmark").output


def test_fetch_leaves_the_archives_in_a_folder_of_their_own(pasam, own, in_empty_folder):
    pasam("fetch", *own)
    assert (in_empty_folder / "data/archives/own.pth").is_file()
    assert not (in_empty_folder / "data/catalogue/archives").exists()


MASK = "data/own/train/cats/gt/b.png"


@pytest.fixture
def project(in_empty_folder):
    """Two pairs, the mask of one of them black, and an empty quarantine."""
    label = np.zeros((8, 8), np.uint8)
    label[2:4] = 255
    for name, mask in (("a", label), ("b", label * 0)):
        write_png(Path(f"data/own/train/cats/im/{name}.png"), np.full((8, 8, 3), 90, np.uint8))
        write_png(Path(f"data/own/train/cats/gt/{name}.png"), mask)
    Path("data/quarantine.csv").write_text("file,sha256,reason\n")
    rows = collect_own(Path("data/own"), Quarantine(), workers=1)
    write_inventory(inventory_frame(rows), Path("data/inventory.parquet"))


@pytest.mark.usefixtures("project")
def test_all_that_was_found_unfit_goes_into_the_table(pasam):
    result = pasam("quarantine")
    assert result.exit_code == 0
    assert f"{MASK}: mask {MASK} is all black" in result.output
    assert "1 file is in data/quarantine.csv now. Look at them, commit it" in result.output
    assert list(read_quarantine(Path("data/quarantine.csv")).entries) == [MASK]
    before = Path("data/quarantine.csv").read_bytes()
    assert "Nothing to add" in pasam("quarantine").output
    assert Path("data/quarantine.csv").read_bytes() == before


@pytest.mark.usefixtures("project")
def test_a_person_names_a_file_and_the_reason(pasam):
    image = "data/own/train/cats/im/a.png"
    assert pasam("quarantine", image, "--reason", "not a cat").exit_code == 0
    (entry,) = read_quarantine(Path("data/quarantine.csv")).entries.values()
    assert (entry.file, entry.reason) == (image, "not a cat")


@pytest.mark.usefixtures("project")
def test_a_file_is_known_however_its_path_is_spelt(pasam, in_empty_folder):
    spelt = in_empty_folder / "data/../data/own/train/cats/im/a.png"
    assert pasam("quarantine", str(spelt), "--reason", "not\n a cat").exit_code == 0
    quarantine = read_quarantine(Path("data/quarantine.csv"))
    assert [entry.reason for entry in quarantine.entries.values()] == ["not a cat"]
    for path in (Path("data/own/train/cats/im/a.png"), spelt):
        assert quarantine.reason_for(path) == "not a cat"
    assert quarantine.reason_for(Path("im/a.png")) is None


@pytest.mark.usefixtures("project")
def test_another_reason_for_a_listed_file_is_a_change_and_the_same_one_is_none(pasam):
    for reason, said in (("dark", "1 file"), ("not a cat", "1 file"), ("not a cat", "Nothing")):
        assert said in pasam("quarantine", MASK, "--reason", reason).output
        (entry,) = read_quarantine(Path("data/quarantine.csv")).entries.values()
        assert entry.reason == reason


@pytest.mark.usefixtures("project")
def test_a_file_without_a_reason_is_refused_in_one_line(pasam):
    result = pasam("quarantine", MASK)
    assert result.exit_code == 2
    assert "needs a reason" in result.output


@pytest.mark.usefixtures("project")
def test_the_present_version_is_accepted_without_what_is_unfit(pasam):
    result = pasam("accept")
    assert result.exit_code == 0
    assert "train cats: 1 masks" in result.output
    assert read_accepted(Path("data/accepted.json"))["train", "cats"].masks == 1


def test_before_a_first_run_there_is_nothing_to_review(pasam):
    for command in ("quarantine", "accept"):
        Path("data").mkdir(exist_ok=True)
        Path("data/quarantine.csv").write_text("file,sha256,reason\n")
        result = pasam(command)
        assert result.exit_code == 2
        assert "data/inventory.parquet does not exist. Run `dvc repro prepare`" in result.output


@pytest.mark.parametrize("command", ["quarantine", "accept"])
def test_help_shows_an_example(pasam, command):
    assert "Example: pasam data" in pasam(command, "--help").output


@pytest.fixture
def cats(in_empty_folder, root):
    """Two pairs in the folder of one's own data."""
    shutil.copy(root / "params" / "default.yaml", "params.yaml")
    folder = in_empty_folder / "data/own/train/cats"
    for number in range(2):
        mask = np.zeros((16, 20), np.uint8)
        mask[2 : 12 + number, 3:15] = 255
        write_png(folder / f"im/{number}.png", np.full((16, 20, 3), number, np.uint8))
        write_png(folder / f"gt/{number}.png", mask)
    return folder


def check(*arguments):
    return CliRunner().invoke(app, ("data", "check", *arguments, "--workers", "1"))


def test_help_has_an_example():
    assert "Example: pasam data check " in check("--help").output


@pytest.mark.parametrize("what", [[], ["cats"], ["data/own"]])
def test_a_sound_set_is_summed_up(cats, what):
    result = check(*what)
    assert result.exit_code == 0
    assert "2 0/255" in result.output
    assert result.output.endswith("Nothing is wrong: `dvc repro` can use it.\n")


def test_of_a_set_and_a_folder_that_are_called_alike_the_set_is_meant(cats, monkeypatch):
    monkeypatch.setattr("pasam.cli.sets.registering.complete_own_set", lambda incomplete: ["cats"])
    other = Path("cats/val/other/im")
    other.mkdir(parents=True)
    write_png(other / "alone.png", np.zeros((16, 20, 3), np.uint8))
    result = check("cats")
    assert (result.exit_code, "2 0/255" in result.output) == (0, True)
    result = check("./cats")
    assert (result.exit_code, "cats/val/other" in result.output) == (2, True)


def test_faults_of_pairing_and_of_content_end_with_code_2(cats):
    (cats / "im/0.png").write_bytes(b"no picture")
    (cats / "gt/lost.png").write_bytes(b"")
    result = check()
    assert result.exit_code == 2
    assert "2 faults" in result.output
    assert "lost.png belongs to no image" in result.output
    assert "0.png cannot be decoded" in result.output
    assert "Nothing is wrong" not in result.output


@pytest.mark.parametrize("what", [[], ["cats"], ["data/own"]])
def test_what_is_wrong_with_the_pairs_of_a_set_is_told_however_it_is_named(what, cats):
    (cats / "gt/0.png").unlink()
    shutil.copytree(cats, cats.with_name("dogs"))
    (cats.with_name("dogs") / "gt/1.png").unlink()
    result = check(*what)
    assert result.exit_code == 2
    assert "train/cats/im/0.png has no mask" in result.output
    assert ("train/dogs/im/1.png has no mask" in result.output) == (what != ["cats"])
    assert "2 faults" in check("dogs").output  # of which no pair is left


def test_an_export_says_which_of_a_set_it_leaves_out(cats):
    (cats / "gt/0.png").unlink()
    result = CliRunner().invoke(app, ("data", "export", "cats", "--out", "out"))
    assert result.output.startswith("1 images, 1 masks written to out")
    assert "im/0.png has no mask" in result.output.replace("\n", " ")


def test_a_program_gets_everything(cats):
    write_png(cats / "gt/0.png", np.zeros((16, 20), np.uint8))
    result = check("--json")
    content = json.loads(result.output)
    assert result.exit_code == 2
    assert content["sets"][0]["masks"] == 1
    assert content["sets"][0]["smallest"] == [20, 16]
    assert "is all black" in content["faults"][0]


def test_many_warnings_are_cut_short(cats):
    for number in range(30):
        mask = np.zeros((16, 20), np.uint8)
        mask[3, 3:9] = 255
        write_png(cats / f"gt/0_{number}.png", mask)
    output = check().output
    assert "30 warnings" in output
    assert "- and 10 more (all of them: --json)" in output


def test_an_unknown_set_is_one_line(cats):
    result = check("dogs")
    assert result.exit_code == 2
    assert "'dogs' is no folder, no set of the catalogue, and none of data/own" in result.stderr
    assert "['cats']" in result.stderr


def test_a_public_set_that_is_not_there_names_the_command(cats):
    result = check("HRSOD")
    assert result.exit_code == 2
    assert "Run `pasam data fetch HRSOD`" in result.stderr


@pytest.mark.parametrize("columns", [60, 80])
def test_the_list_tells_every_set_by_its_whole_name_on_a_narrow_screen(pasam, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    table = pasam("list").stdout.partition("\n\n")[0].splitlines()
    assert max(map(len, table)) <= columns
    names = {line.split()[0] for line in table if not line.startswith(" ")}
    assert {"ThinObject5K-TR", "ThinObject5K-TE"} <= names


@pytest.mark.parametrize("given", [False, True])
def test_every_option_of_fetch_reaches_what_it_is_for(given, pasam, own, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pasam.data.fetch.fetch", lambda *chosen, **how: seen.append((chosen, how)) or []
    )
    words = [
        "--from",
        "mirror",
        "--root",
        "r",
        "--lock",
        "l",
        "--archives",
        "a",
        "--workers",
        "9",
        "--no-keep-archives",
    ]
    result = pasam("fetch", "own", "--extra", "own.yaml", *words * given)
    assert result.exit_code == 0, result.output
    ((((entry,), root), how),) = seen
    assert entry.name == "own"
    assert root == Path("r" if given else "data/catalogue")
    assert how == {
        "source": "mirror" if given else None, "lock": Path("l" if given else "catalogue.lock"),
        "archives": Path("a" if given else "data/archives"), "workers": 9 if given else 4,
        "keep_archives": not given,
    }  # fmt: skip


def corrections(folder):
    """Four corrections of two people; one of each was accepted."""
    store = FeedbackStore(folder)
    mask = np.zeros((20, 30), np.bool_)
    mask[4:12, 5:20] = True
    ids = [
        store.put(np.full((20, 30, 3), number, np.uint8), mask, about={"who": who, "why": "x"})
        for number, who in enumerate(("ada", "ada", "bob", "bob"))
    ]
    store.accept([ids[1], ids[3]], reviewer="carol")
    return store, ids


@pytest.mark.parametrize(
    ("chosen", "gone"),
    [(("--who", "ada"), {0, 1}), (("--id", "2"), {2}), (("--who", "ada", "--id", "2"), {0, 1, 2}),
     (("--id", "0", "--id", "3"), {0, 3}), (("--all",), {0, 1, 2, 3}), (("--who", "x"), set())],
)  # fmt: skip
def test_what_was_named_is_forgotten_and_nothing_else(chosen, gone, pasam, in_empty_folder):
    store, ids = corrections(in_empty_folder / "kept")
    words = [ids[int(word)] if word.isdecimal() else word for word in chosen]
    places = ("--feedback", "kept", "--own", "own")
    store.write_set(in_empty_folder / "own")  # as the review has left it
    found = pasam("forget", *words, *places, "--json")
    assert set(json.loads(found.output)["deleted"]) == {ids[number] for number in gone}
    left = {each.identity for each in (*store.waiting(), *store.accepted())}
    assert left == {each for number, each in enumerate(ids) if number not in gone}
    made = in_empty_folder / "own" / "corrections"
    assert made.exists() is bool({1, 3} - gone)
    if made.exists():
        kept = json.loads((made / "provenance.json").read_text())
        assert set(kept) == {ids[number] for number in {1, 3} - gone}


def test_a_review_says_who_decided_and_touches_only_what_was_named(pasam, in_empty_folder):
    store, ids = corrections(in_empty_folder / "kept")
    places = ("--feedback", "kept", "--own", "own")
    chosen = ("--accept", ids[0], "--reject", ids[2], "--withdraw", ids[3], "--reviewer", "dan")
    assert pasam("review", *chosen, *places).exit_code == 0
    assert store.waiting() == []
    assert {each.identity: each.about["reviewer"] for each in store.accepted()} == {
        ids[0]: "dan", ids[1]: "carol"
    }  # fmt: skip
    for wrong in (("--reject", ids[0]), ("--withdraw", ids[2]), ("--accept", ids[1])):
        assert pasam("review", *wrong, *places).exit_code == 2
    assert len(store.accepted()) == 2


@pytest.fixture
def sets(monkeypatch):
    """Own sets `cats` and `dogs`, fetched sets, and what was asked for them."""
    asked = []

    def find_pairs(folder):
        asked.append(folder)
        pairs = tuple(SimpleNamespace(dataset=name) for name in ("cats", "dogs", "cats"))
        faults = [SimpleNamespace(dataset=name, message=f"of {name}") for name in ("cats", "", "x")]
        return pairs, faults

    def public_pairs(names, root, lock):
        asked.append((*names, root, lock))
        return (f"pairs of {len(names)}",), ("odd",)

    monkeypatch.setattr("pasam.data.pairing.find_pairs", find_pairs)
    monkeypatch.setattr("pasam.data.fetch.public_pairs", public_pairs)
    monkeypatch.setattr(registering, "complete_own_set", lambda typed: ["cats", "dogs"])
    monkeypatch.setattr(
        registering, "data_params",
        lambda path: SimpleNamespace(own=f"own of {path}", catalogue=("thin", "dis")),
    )  # fmt: skip

    def check(what, own=None):
        asked.clear()
        return registering._pairs_to_check(what, own, Path("r"), Path("l"), Path("p.yaml"))

    return check, asked


@pytest.mark.parametrize("own", [None, Path("mine")])
def test_what_is_checked_is_what_was_named_in_the_folder_that_was_named(own, sets, in_empty_folder):
    check, asked = sets
    folder = own or Path("own of p.yaml")
    pairs, faults, odd = check("cats", own)
    assert ([pair.dataset for pair in pairs], odd, asked) == (["cats", "cats"], (), [folder])
    assert faults == ("of cats", "of "), "a row that names no set may be of it"
    assert check("dogs", own)[1] == ("of ",)
    assert check("x", own)[:2] == ((), ("of ", "of x")), "a set of faults alone is one"
    pairs, faults, odd = check(None, own)
    assert (len(pairs), pairs[-1], len(faults), odd) == (4, "pairs of 2", 3, ("odd",))
    assert asked == [folder, ("thin", "dis", Path("r"), Path("l"))]
    with pytest.raises(DataError, match=r"'birds' is no folder.*holds \['cats', 'dogs', 'x'\]"):
        check("birds", own)
    for name in ("hqseg44k", "sam_vit_b"):  # a group, and an entry
        assert check(name, own) == (("pairs of 1",), (), ("odd",))
        assert asked == [(name, Path("r"), Path("l"))]
    for name in ("cats", "photos"):
        (in_empty_folder / name).mkdir()
    assert len(check("photos", own)[1]) == 3
    assert asked == [Path("photos")]
    check("cats", own)
    assert asked == [folder], "of the two that are called so the set is meant"


def fetched(role="train", images=None, expected=None, new=True, recorded=()):
    entry = SimpleNamespace(name="cats", role=role, images=expected)
    return SimpleNamespace(
        entry=entry, folder=Path("f/cats"), is_new=new, images=images, recorded=recorded
    )


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (fetched(), "cats fetched to f/cats"), (fetched(expected=3), "cats fetched to f/cats"),
        (fetched(new=False), "cats is there already: f/cats"),
        (fetched(images=3), "cats fetched to f/cats, 3 images"),
        (fetched(images=3, expected=3), "cats fetched to f/cats, 3 images"),
        (fetched(images=0, expected=3),
         "cats fetched to f/cats, 0 images; warning: the catalogue says 3"),
        (fetched(images=3, expected=4, new=False),
         "cats is there already: f/cats, 3 images; warning: the catalogue says 4"),
    ],
)  # fmt: skip
def test_what_became_of_a_set_is_told_in_a_line(result, line):
    assert fetching._report(result) == line


def test_a_download_is_told_by_its_size_and_its_archives_or_why_there_is_none():
    archives = tuple(SimpleNamespace(name=name) for name in ("a.zip", "b.tar"))
    entry = SimpleNamespace(archives=archives, expected_size=2_346_000_000, hint="ask them")
    assert fetching._download(entry) == ("2.35 GB", "a.zip, b.tar")
    entry.expected_size = None
    assert fetching._download(entry) == ("?", "a.zip, b.tar")
    entry.archives = ()
    assert fetching._download(entry) == ("", "ask them")
    entry.hint = None
    assert fetching._download(entry) == ("", "")


def test_after_a_fetch_it_is_said_what_to_name_and_what_to_commit():
    assert fetching._advice([fetched(role="checkpoint")], Path("c.lock")) == []
    (named,) = fetching._advice([fetched("checkpoint"), fetched("benchmark")], Path("c.lock"))
    assert named.startswith("To train on them or measure with them, name them in params.yaml")
    results = [fetched("checkpoint", recorded=("b", "a")), fetched("checkpoint", recorded=("c",))]
    (commit,) = fetching._advice(results, Path("c.lock"))
    assert commit.startswith("Nobody publishes checksums of a, b, c: c.lock now holds what came")
