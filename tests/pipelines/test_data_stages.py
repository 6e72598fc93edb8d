"""The data's stages, and what the page of operations says of the data."""

import json
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from small_world import load_yaml

from pasam.config.presets import compose
from pasam.data.manifest import read_manifest
from pasam.errors import StageError
from pasam.masks.images import write_png
from pasam.registry.snapshot import LockEntry
from pasam.validation.verdict import read_verdict
from pipelines.flows import decision_tables, endings, operations, schedule
from pipelines.stages import prepare, prepare_instances


def test_a_second_run_gives_the_same_bytes(world, own_world):
    own_world.run("prepare")
    assert own_world.contents("prepare") == world.contents("prepare")


def test_the_manifest_lists_as_many_images_as_the_params_ask_for(world):
    frame = read_manifest(world.path("data/manifest.parquet"))
    images = frame.groupby(["split", "dataset"])["image"].nunique().to_dict()
    benchmarks = ("dis_like", "coift_like", "hrsod_like", "thin_like")
    development = ("dis_dev", "coift_dev", "hrsod_dev", "thin_dev")  # half as large
    assert images == {
        ("train", "generated_train"): 6,
        **{("val", name): 2 for name in benchmarks},
        **{("val", name): 1 for name in development},
    }


def test_the_manifest_lists_every_written_file_by_its_path_in_the_project(world):
    frame = read_manifest(world.path("data/manifest.parquet"))
    listed = {*frame["image"], *frame["mask"]}
    tables = {"data/manifest.parquet", "data/inventory.parquet"}
    written = set(world.contents("prepare")) - tables
    assert listed == written


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_what_the_params_name_is_among_what_the_stages_that_read_it_depend_on(preset, root):
    params = compose(preset, root / "params")
    of_detectors = [params["instances"]["coco"]["detections"]]
    of_detectors.append(params["instances"]["seginw"]["detections"])
    named = {"instances": of_detectors, "base": [params["base"]["checkpoint"]]}
    known = {"${data.own}": params["data"]["own"], "${base.checkpoint}": named["base"][0]}
    lacking, seen = [], set()
    for name, stage in load_yaml((root / "dvc.yaml").read_text())["stages"].items():
        stage = stage.get("do", stage)
        every = [path for path in (*stage["deps"], *stage["outs"]) if isinstance(path, str)]
        paths = {known.get(path, path) for path in every}
        if name in ("report", "prepare_instances"):  # what the base was; what is to be drawn
            continue
        for section in named.keys() & {each for each in stage["params"] if isinstance(each, str)}:
            seen.add(section)
            for path in named[section]:
                if not paths & {path, *map(str, Path(path).parents)}:
                    lacking.append(f"{name}: {path}")
    assert seen == named.keys()
    assert lacking == []


def test_own_images_stand_beside_generated_ones(own_world):
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 10:30] = 255
    write_png(own_world.path("data/own/val/mine/im/cup.png"), np.full((40, 50, 3), 90, np.uint8))
    write_png(own_world.path("data/own/val/mine/gt/cup.png"), mask)
    own_world.run("prepare")
    frame = read_manifest(own_world.path("data/manifest.parquet")).set_index("id")
    assert len(frame) > 1
    assert frame.at["mine/cup", "mask"] == "data/own/val/mine/gt/cup.png"
    assert frame.at["mine/cup", "area"] == 0.2


def test_another_seed_draws_other_images(world, own_world):
    own_world.change("data.generated", train_images=1, benchmark_images=1, seed=8)
    own_world.run("prepare")
    name = "data/generated/dis_like/im/00000.png"
    assert own_world.contents("prepare")[name] != world.contents("prepare")[name]


def test_a_second_run_gives_the_same_bytes_of_prepare_instances(world, own_world):
    own_world.run("prepare_instances")
    assert own_world.contents("prepare_instances") == world.contents("prepare_instances")


def test_there_are_as_many_images_as_the_params_say(world):
    coco = world.path("data/instances/coco_like")
    assert len(list((coco / "images").iterdir())) == 3
    assert len(json.loads((coco / "annotations.json").read_text())["images"]) == 3
    sets = world.path("data/instances/seginw_like/sets")
    assert all(len(list(valid.glob("*.png"))) == 1 for valid in sets.glob("*/valid"))


VERDICT = "reports/validation/verdict.json"
MASK = "data/own/train/mine/gt/cup.png"


@pytest.fixture
def cups(own_world):
    """Two pairs of one's own."""
    mask = np.zeros((70, 80), np.uint8)
    mask[10:40, 10:50] = 255
    for index, name in enumerate(("cup", "mug")):
        image = np.random.default_rng(index).integers(0, 255, (70, 80, 3)).astype(np.uint8)
        write_png(own_world.path(f"data/own/train/mine/im/{name}.png"), image)
        write_png(own_world.path(f"data/own/train/mine/gt/{name}.png"), np.roll(mask, index, 0))
    return mask


def refused(world, stage, capsys):
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        world.run(stage)
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.long
def test_a_second_run_gives_the_same_bytes_of_validate(world, own_world):
    own_world.run("validate")
    assert own_world.contents("validate") == world.contents("validate")


def test_sound_data_passes_and_the_docs_are_written(world):
    verdict = read_verdict(world.path(VERDICT))
    assert verdict.passed
    assert verdict.invalid == verdict.quarantined == 0
    assert (world.path("reports/validation/data_docs") / "index.html").is_file()


@pytest.mark.usefixtures("cups")
def test_the_verdict_is_written_before_the_refusal_and_training_does_not_start(own_world, capsys):
    write_png(own_world.path(MASK), np.zeros((70, 80), np.uint8))
    own_world.run("prepare")
    said = refused(own_world, "validate", capsys)
    assert "few_items_are_invalid failed. Look at reports/validation/index.html" in said
    assert f"- mask {MASK} is all black" in said
    assert not read_verdict(own_world.path(VERDICT)).passed
    own_world.contents("validate")
    for stage in ("embed@train", "train@pa_sam"):
        assert "is not fit: few_items_are_invalid failed" in refused(own_world, stage, capsys)


@pytest.mark.slow  # the expectation: tests/validation
@pytest.mark.usefixtures("cups")
def test_a_stated_share_of_unfit_items_is_left_out_without_a_stop(own_world):
    write_png(own_world.path(MASK), np.zeros((70, 80), np.uint8))
    own_world.change("validate", unreviewed_fraction=0.5)
    own_world.run("prepare")
    own_world.run("validate")
    verdict = read_verdict(own_world.path(VERDICT))
    assert (verdict.passed, verdict.invalid) == (True, 1)
    own_world.run("embed@train")


@pytest.mark.slow  # tests/validation
def test_a_quarantined_file_is_left_out_and_counted(own_world, cups, monkeypatch):
    from typer.testing import CliRunner

    from pasam.cli.app import app

    write_png(own_world.path(MASK), cups * 0)
    own_world.change("validate", quarantined_fraction=0.5)
    own_world.run("prepare")
    with monkeypatch.context() as patch:
        patch.chdir(own_world.folder)
        assert CliRunner().invoke(app, ("data", "quarantine")).exit_code == 0
    own_world.run("prepare")
    own_world.run("validate")
    verdict = read_verdict(own_world.path(VERDICT))
    assert (verdict.passed, verdict.invalid, verdict.quarantined) == (True, 0, 1)
    page = own_world.path("reports/validation/index.html").read_text()
    assert f"<code>{MASK}</code>" in page


@pytest.mark.usefixtures("cups")
def test_an_old_verdict_does_not_count_for_new_data(own_world, capsys):
    own_world.run("prepare")
    assert "is about another" in refused(own_world, "embed@train", capsys)


@pytest.mark.slow  # tests/validation/test_drift
def test_drift_is_reported_against_the_accepted_version(own_world, world, monkeypatch):
    from typer.testing import CliRunner

    from pasam.cli.app import app

    with monkeypatch.context() as patch:
        patch.chdir(own_world.folder)
        assert CliRunner().invoke(app, ("data", "accept")).exit_code == 0
    own_world.run("validate")
    assert read_verdict(own_world.path(VERDICT)) == read_verdict(world.path(VERDICT))
    accepted = json.loads(own_world.path("data/accepted.json").read_text())
    for entry in accepted["sets"]:
        entry["values"]["brightness"] = [value + 90 for value in entry["values"]["brightness"]] * 9
    own_world.path("data/accepted.json").write_text(json.dumps(accepted))
    own_world.run("validate")
    verdict = read_verdict(own_world.path(VERDICT))
    assert verdict.passed
    before = read_verdict(world.path(VERDICT)).warnings
    assert set(verdict.warnings) - set(before) == {"brightness_has_not_drifted"}


EACH = "${item}"
FLAGS = {
    "embed": {"--split": EACH, "--store": f"data/embeddings/{EACH}"},
    "train": {"--model": EACH, "--store": "data/embeddings/train",
              "--weights": f"data/adapters/{EACH}.safetensors",
              "--history": f"reports/history/{EACH}.jsonl"},
    "repeat": {"--model": EACH, "--store": "data/embeddings/train",
               "--benchmark-store": "data/embeddings/val",
               "--scores": f"data/repeats/{EACH}.parquet",
               "--history": f"reports/history/{EACH}-repeats.jsonl"},
    "ablate": {"--model": "${key}", "--store": "data/embeddings/train",
               "--benchmark-store": "data/embeddings/val",
               "--scores": "data/ablations/${key}.parquet",
               "--history": "reports/history/${key}.jsonl"},
    "evaluate": {"--model": EACH, "--seed": "${train.seed}", "--store": "data/embeddings/val",
                 "--weights": f"data/adapters/{EACH}.safetensors"},
    "baseline": {"--model": EACH, "--store": "data/embeddings/val"},
    "instances": {"--seed": "${train.seed}", "--adapters": "data/adapters"},
    "robustness": {"--seed": "${train.seed}", "--store": "data/embeddings/val"},
    "develop": {"--seed": "${train.seed}", "--store": "data/embeddings/val"},
}  # fmt: skip
ALWAYS = {
    "--manifest": "data/manifest.parquet", "--inventory": "data/inventory.parquet",
    "--verdict": "reports/validation/verdict.json", "--resume": "data/resume",
    "--quarantine": "data/quarantine.csv", "--adapters": "data/adapters",
}  # fmt: skip
OVER = {
    "embed": ["train", "val"], "train": "${evaluate.models}", "repeat": "${repeats.models}",
    "ablate": "${ablations}", "evaluate": "${evaluate.models}",
    "baseline": "${evaluate.baselines}",
}  # fmt: skip


def test_each_stage_is_told_the_model_seed_and_store_that_it_is_for(root):
    """Where two values are alike in kind, nothing else would tell a mistake from a choice."""
    stages = load_yaml((root / "dvc.yaml").read_text())["stages"]
    assert {name: each["foreach"] for name, each in stages.items() if "foreach" in each} == OVER
    assert [name for name, each in stages.items() if each.get("frozen")] == ["pretrain"]
    for name, stage in stages.items():
        words = stage.get("do", stage)["cmd"].split()
        assert words[:3] == ["python", "-m", f"pipelines.stages.{name}"]
        given = dict(zip(words[3::2], words[4::2], strict=True))
        wanted = {flag: path for flag, path in ALWAYS.items() if flag in given}
        assert given.items() >= (wanted | FLAGS.get(name, {})).items(), name
        uncached = [out for out in stage.get("do", stage)["outs"] if isinstance(out, dict)]
        assert len(uncached) == (name == "pretrain")


@pytest.fixture
def validated(in_empty_folder):
    """A lock whose validation failed, and what it wrote, on data of the manifest `new`."""
    content = {"passed": False, "masks": 7, "quarantined": 2, "errors": ["sizes", "names"],
               "warnings": []}  # fmt: skip
    Path("verdict.json").write_text(json.dumps(content))
    Path("docs.html").touch()
    rows = [{"split": "val", "dataset": name, "quantity": "area", "drifted": name == "b"}
            for name in "ab"]  # fmt: skip
    Path("findings.json").write_text(json.dumps({"drift": rows}))
    page, entry = SimpleNamespace(path="docs.html"), SimpleNamespace(path="verdict.json")
    deps = {"x.parquet": SimpleNamespace(md5="other"),
            f"data/{operations.MANIFEST}": SimpleNamespace(md5="new")}  # fmt: skip
    stage = SimpleNamespace(deps=deps, out_with=lambda suffix: page if suffix == ".html" else None)
    return SimpleNamespace(
        makers=lambda suffix: [(stage, entry)] if suffix == operations.VERDICT else [],
        output=lambda suffix: SimpleNamespace(path=suffix) if suffix == "findings.json" else None,
    )


@pytest.mark.parametrize(
    ("used", "said"), [("old", "old"), ("new", "the same"), ("", None), (None, None)]
)
def test_the_page_says_how_the_last_validation_ended_and_of_which_data(used, said, validated):
    tags = {} if used is None else {operations.Tag.MANIFEST_MD5: used}
    champion = SimpleNamespace(registered=SimpleNamespace(details={"tags": tags}))
    standing = SimpleNamespace(champion=None if used == "" else 3, versions={3: champion})
    found = dict(operations._data(validated, standing).rows)
    assert found["verdict"] == "failed"
    assert found["expectations"] == "errors: sizes, names; warnings: none"
    assert found["masks"] == "7 valid, 2 in quarantine"
    assert found[operations.Tag.MANIFEST_MD5] == "new"
    assert found.get("the champion's") == said
    assert found["its page"].address == "../docs.html"
    Path("verdict.json").unlink()
    gone = operations._data(validated, standing)
    assert (gone.lead, gone.rows) == ("The data were not validated.", ())
    assert operations._data(None, standing).rows == ()


def test_the_page_lists_every_quantity_and_whether_it_has_drifted(validated):
    table = operations._drift(validated)
    assert list(table.rows) == [("val", "a", "area", "no"), ("val", "b", "area", "yes")]
    assert table.lead.startswith("How the data have drifted")
    Path("findings.json").write_text("{}")
    assert operations._drift(validated).lead.startswith("No drift is known")
    assert operations._drift(None).lead.startswith("No drift is known")


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("5 14 * * *", "every day at 14:05"), ("0 3 * * 7", "every Sunday at 03:00"),
        ("30 0 * * 1-5", "every Monday to Friday at 00:30"), ("*/5 * * * *", "as cron says"),
        ("0 3 1 * *", "as cron says"), ("0 3 * * 8", "as cron says"),
    ],
)  # fmt: skip
def test_a_simple_schedule_is_told_in_words(cron, words):
    assert operations._in_words(cron) == words


@pytest.mark.parametrize(
    ("made", "words"),
    [("m1", "of this version"), ("m2", "of the last training, which is not this version")],
)
def test_the_page_says_whether_the_last_models_card_is_of_the_champion(
    made, words, in_empty_folder
):
    def stage(kind, md5):
        return SimpleNamespace(
            kind=kind, out_with=lambda suffix: None if md5 is None else LockEntry(path="w", md5=md5)
        )

    stages = {"a": stage("train", made), "b": stage("evaluate", "m1"), "c": stage("train", None)}
    cards = SimpleNamespace(path="reports/model_cards")
    lock = SimpleNamespace(stages=stages, output=lambda suffix: cards)
    tags = {operations.Tag.MODEL: "pa_sam", operations.Tag.MODEL_MD5: "m1"}
    version = SimpleNamespace(registered=SimpleNamespace(details={"tags": tags}))
    assert decision_tables._card(lock, version) == [("model card", f"pa_sam.md, {words}")]
    Path(cards.path).mkdir(parents=True)
    (Path(cards.path) / "pa_sam.md").touch()
    [(_, link)] = decision_tables._card(lock, version)
    assert (link.words, link.address) == (f"pa_sam.md, {words}", "model_cards/pa_sam.md")
    assert decision_tables._card(None, version) == []
    lock.output = lambda suffix: None
    assert decision_tables._card(lock, version) == []


@pytest.mark.parametrize(
    ("server", "own", "address"),
    [
        ("https://p.example.org/api", 4201, "https://p.example.org/runs/flow-run/7"),
        ("", 4201, "http://127.0.0.1:4201/runs/flow-run/7"), ("", None, None),
    ],
)  # fmt: skip
def test_a_run_leads_to_the_teams_server_or_else_to_this_projects_own(
    server, own, address, monkeypatch
):
    monkeypatch.setenv("PREFECT_API_URL", server)
    monkeypatch.setattr(decision_tables, "own_server", lambda name: own)
    found = decision_tables.run_link("7", "retrain")
    assert found == ("retrain" if address is None else decision_tables.PageLink("retrain", address))
    assert decision_tables.run_link("", "retrain") == "retrain"


def test_times_of_several_schedules_come_in_one_order_each_so_often(monkeypatch):
    class Every:
        """Stands for Prefect's schedule: every so many hours of its zone's."""

        def __init__(self, *, cron, timezone):
            self.hours = int(cron) + (timezone != "UTC")

        async def get_dates(self, count, after):
            return [after + timedelta(hours=self.hours * k) for k in range(1, count + 1)]

    schedules = SimpleNamespace(CronSchedule=Every)
    monkeypatch.setitem(sys.modules, "prefect.server.schemas.schedules", schedules)
    after = datetime(2026, 1, 1, tzinfo=UTC)
    found = schedule.due([("2", "UTC"), ("2", "Europe/Berlin"), ("7", "UTC")], after, 2)
    assert [(moment - after) / timedelta(hours=1) for moment in found] == [2, 3, 4, 6, 7, 14]


def test_when_flows_are_due_is_noted_in_utc_whatever_the_zones_of_their_schedules(monkeypatch):
    east, west = (timezone(timedelta(hours=hours)) for hours in (1, -5))
    moments = [
        datetime(2030, 1, 6, 3, 0, tzinfo=east), datetime(2030, 1, 6, 2, 30, tzinfo=UTC),
        datetime(2030, 1, 5, 22, 0, tzinfo=west),
    ]  # fmt: skip
    noted = []
    monkeypatch.setattr(schedule, "due", lambda *given: moments)
    monkeypatch.setattr(schedule, "note_served", noted.append)
    monkeypatch.setattr(schedule, "renew_page", lambda: noted.append("page"))
    schedule._say_when([{"entrypoint": "a/b.py:nightly"}], {})
    times = [f"2030-01-06T{time}:00+00:00" for time in ("02:00", "02:30", "03:00")]
    assert noted == [{"nightly": times}, "page"]


@pytest.fixture
def told(in_empty_folder, monkeypatch):
    """What people were told, of flows whose page is not of interest."""
    messages = []
    monkeypatch.setattr(operations, "renew_page", lambda: None)
    monkeypatch.setattr(operations, "notify", lambda *words: messages.append(words) or True)
    return messages


@pytest.mark.parametrize(
    ("error", "said"), [(StageError("bad mask"), "bad mask"), (ZeroDivisionError(), None)]
)
def test_a_failure_is_kept_told_to_whom_the_flow_names_and_raised(error, said, told):
    def broken(*, notify=None):
        raise error

    said = said or "ZeroDivisionError"  # one without words
    with pytest.raises(type(error)):
        operations.followed(broken, {"notify": "team"})
    kept = endings.last("broken")
    assert (kept.outcome, kept.message) == ("failed", said)
    ((address, subject, text),) = told
    assert (address, subject) == ("team", f"{endings.project_name()}: broken failed")
    assert text.splitlines()[0] == said


@pytest.mark.parametrize("in_run", [False, True])
def test_prefect_itself_says_whether_a_run_of_its_own_was_stopped(in_run, told, monkeypatch):
    def stopped(*, notify=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(operations, "in_flow_run", lambda: in_run)
    with pytest.raises(KeyboardInterrupt):
        operations.followed(stopped, {"notify": "team"})
    assert [each[:2] for each in told] == (
        [] if in_run else [("team", f"{endings.project_name()}: stopped cancelled")]
    )
    assert (endings.last("stopped") is None) is in_run


def test_what_was_told_of_one_kind_does_not_forget_when_the_other_was(told):
    operations._tell("alarm", "a", "x", "team", {})
    first = operations._told()
    operations._tell("sign of life", "b", "y", None, first)
    both = operations._told()
    assert both.keys() == {"alarm", "sign of life"}
    assert both["alarm"] == first["alarm"]
    assert [(address, subject) for address, subject, _ in told] == [("team", "a"), (None, "b")]


def test_a_message_says_how_long_a_run_took_and_of_which_commit(in_empty_folder):
    ending = endings.Ending(
        flow="retrain", outcome="promoted", message="m", commit="0123456789abcdef",
        started="2026-01-01T23:59:00+00:00", ended="2026-01-02T01:00:30+00:00",
    )  # fmt: skip
    first, second, *links = endings.description(ending).splitlines()
    assert (first, links) == ("m", [])
    assert second.endswith("commit 0123456789, from 2026-01-01T23:59:00+00:00 for 1:01:30.")
    unknown = endings.Ending(
        flow="retrain", outcome="failed", message="m", started=ending.started, ended=ending.ended
    )
    assert "commit -, from" in endings.description(unknown)


def stand_in(stage, monkeypatch, *names):
    """Put something that notes its calls in the place of what a stage calls."""
    made = SimpleNamespace(**{name: MagicMock(name=name) for name in names})
    for name in names:
        monkeypatch.setattr(f"pipelines.stages.{stage}.{name}", getattr(made, name))
    return made


def test_the_data_are_prepared_as_the_params_and_the_quarantine_say(monkeypatch, tmp_path, caplog):
    made = stand_in(
        "prepare", monkeypatch, "public_pairs", "take_inventory", "read_quarantine",
        "write_inventory", "manifest_frame", "valid_rows", "write_manifest",
    )  # fmt: skip
    made.public_pairs.return_value = ("pairs", ["a set is not here"])
    data = MagicMock()
    quarantine, catalogue, lock, manifest, inventory = (Path(name) for name in "abcde")
    images = tmp_path / "images"
    prepare.prepare(data, quarantine, images, catalogue, lock, manifest, inventory)
    assert images.is_dir()
    assert "a set is not here" in caplog.text
    made.public_pairs.assert_called_once_with(data.catalogue, catalogue, lock)
    made.read_quarantine.assert_called_once_with(quarantine)
    made.take_inventory.assert_called_once_with(
        data, made.read_quarantine.return_value, images, "pairs"
    )
    found = made.take_inventory.return_value
    made.write_inventory.assert_called_once_with(found, inventory)
    made.valid_rows.assert_called_once_with(found)
    made.manifest_frame.assert_called_once_with(made.valid_rows.return_value.to_dict.return_value)
    made.write_manifest.assert_called_once_with(made.manifest_frame.return_value, manifest)
    drawn = stand_in("prepare_instances", monkeypatch, "draw_instance_sets").draw_instance_sets
    params = MagicMock()
    prepare_instances.prepare_instances(data, params, tmp_path / "out")
    drawn.assert_called_once_with(
        params.generated, tmp_path / "out", seed=data.generated.seed, side=data.generated.side,
        workers=data.workers,
    )  # fmt: skip
