"""Every command of README and docs is run by a test, or marked as one that cannot be run here."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
from functools import cache

import click
import numpy as np
import pytest
import skimage
import typer
from inference_models import picture
from PIL import Image
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.inference.onnx_export import export_onnx
from pasam.registry.load import load_predictor

RUN = "here"
"""Run by `test_a_documented_command_does_what_it_says`, as it stands in the text."""

TRAIN = "not here: a training run of minutes; its stages and flows have tests of their own"
OTHERS = "not here: a server, a container or weights that this machine does not have"
NETWORK = "not here: it brings packages over the network"

TWO_PEOPLE = (
    "tests/test_team_walk.py::"
    "test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice"
)
TWO_PEOPLE_AND_MLFLOW = (
    "tests/test_team_walk.py::"
    "test_two_accounts_see_one_champion_in_an_mlflow_that_asks_for_a_password"
)
STAGED = (
    "tests/registry/test_promotion.py::"
    "test_a_version_goes_through_staging_to_production_by_two_commands"
)

COMMANDS = {
    "make check": "not here: it is what runs before this, in .ci/run",
    "make test": "not here: it is this",
    "make long": "not here: it is what runs after this, in .ci/run",
    "make wheel": "tests/test_packaging.py::test_a_wheel_brings_presets_catalogue_and_page",
    "make reproduce": TRAIN,
    "make flows": "tests/pipelines/test_prefect_flows.py::"
    "test_a_scheduled_run_fires_and_what_is_silent_would_be_ended",
    "make ui": "tests/pipelines/test_servers.py::"
    "test_both_pages_say_their_addresses_and_listen_to_this_machine_only",
    "pip install dist/prompt_adapter_sam-0.1.0-py3-none-any.whl": "tests/test_packaging.py::"
    "test_a_wheel_gives_a_mask_in_an_empty_folder_within_five_seconds",
    'pip install "prompt-adapter-sam[serve]"': NETWORK,
    'pip install "prompt-adapter-sam[sign]"': NETWORK,
    "pip install prefect-docker": NETWORK,
    "python -m venv /tmp/fuzz": NETWORK,
    "dvc repro": TRAIN,
    "dvc repro ablate@no_dense": TRAIN,
    "dvc exp run -S models.pa_sam_plus.interpolation=1.0 develop": TRAIN,
    "dvc repro ablate@no_mining ablate@image_features": TRAIN,
    "dvc exp run -S models.pa_sam.epochs=6": TRAIN,
    "dvc exp run -S models.pa_sam.epochs=6 -S models.pa_sam.lr_step_size=4 "
    "-S models.pa_sam.mining.method=none": TRAIN,
    "python benchmarks/equal_training.py --out FOLDER --photographs POOL --split held "
    "--per-set 8 --seeds 42 43 44 45 46 --models hq_sam head_only pa_sam pa_sam_plus --case "
    'head_06 "{of: head_only, change: {interpolation: 0.6}}"': "not here: it measures for hours",
    "python benchmarks/equal_training.py --out FOLDER --photographs POOL --split held "
    "--per-set 8 --seeds 42 43 44 45 46 --models head_only image_features no_mining --case "
    'plus_whole "{of: pa_sam_plus, change: {interpolation: 1.0}}"': "not here: it measures for hours",
    "python benchmarks/equal_training.py --out FOLDER --photographs POOL --split held "
    "--per-set 8 --seeds 42 43 44 45 46 --models pa_sam no_mining --case mining_uncertain "
    '"{of: pa_sam, change: {mining: {cells: uncertain}}}" --case points_1 '
    '"{of: pa_sam, change: {mining: {points: 1}}}" --case mining_random '
    '"{of: pa_sam, change: {mining: {method: random}}}" --case mining_top '
    '"{of: pa_sam, change: {mining: {method: top}}}"': "not here: it measures for hours",
    "dvc commit --force evaluate@pa_sam": "tests/training/test_many_processes.py::"
    "test_two_machines_of_two_embed_evaluate_and_train_as_one_process",
    "dvc metrics diff": "not here: DVC's own; it reads what two runs have left",
    "dvc plots diff": "not here: DVC's own; it reads what two runs have left",
    "docker build -f deploy/Dockerfile --target train -t pasam-train .": OTHERS,
    "docker build -f deploy/Dockerfile --target serve -t pasam-serve .": OTHERS,
    "pasam registry log": "tests/cli/test_registry_commands.py::"
    "test_decisions_are_shown_with_who_and_why",
    "pasam registry list": TWO_PEOPLE_AND_MLFLOW,
    "pasam registry promote": TWO_PEOPLE_AND_MLFLOW,
    'pasam registry promote --why "first version"': TWO_PEOPLE_AND_MLFLOW,
    'pasam registry reject 1 --why "halos"': TWO_PEOPLE_AND_MLFLOW,
    "pasam registry promote --to staging": STAGED,
    'pasam registry promote staging --why "a week in staging"': STAGED,
    "python -m pipelines.flows --help": "tests/pipelines/test_engine.py::"
    "test_the_flows_and_their_help_load_nothing_heavy",
    "python -m pipelines.flows retrain --local": "tests/pipelines/test_retrain_flows.py::"
    "test_nothing_new_ends_unchanged_at_once",
    "python -m pipelines.flows ablate --local": "tests/pipelines/test_reproduce_flows.py::"
    "test_a_study_has_the_project_as_it_is_at_another_size",
    "prefect work-pool create here --type process": OTHERS,
    "prefect worker start --pool here": OTHERS,
    "prefect work-pool create docker --type docker": OTHERS,
    "prefect deploy -n retrain/docker": OTHERS,
    "prefect worker start --pool docker": OTHERS,
    'mlflow models serve -m "models:/pasam@champion" --env-manager local --host 127.0.0.1 '
    "--port 5001": "tests/registry/test_served_champion.py::"
    "test_a_client_gets_the_librarys_own_mask_and_bad_requests_a_sentence",
    "pasam params use smoke": RUN,
    "pasam params use default": RUN,
    "pasam params use ablation": RUN,
    "pasam params use paper": RUN,
    "pasam params use laptop": RUN,
    "pasam params use photographs": RUN,
    "pasam data add cats --images ~/cats/photos --masks ~/cats/masks": RUN,
    "pasam data add cats --csv ~/cats/pairs.csv": "tests/cli/test_data_add_command.py::"
    "test_a_table_is_a_source",
    "pasam data add cats --annotations ~/cats/annotations.json --images ~/cats/photos": "tests/cli/"
    "test_data_add_command.py::test_a_coco_file_is_a_source",
    "pasam data quarantine": "tests/cli/test_data_commands.py::"
    "test_all_that_was_found_unfit_goes_into_the_table",
    'pasam data quarantine data/own/train/cats/gt/tom.png --reason "the wrong cat"': "tests/cli/"
    "test_data_commands.py::test_a_person_names_a_file_and_the_reason",
    "pasam data accept": "tests/cli/test_data_commands.py::"
    "test_the_present_version_is_accepted_without_what_is_unfit",
    "pasam predict photo.jpg --box 80,40,420,380": RUN,
    "pasam predict photos/ --everything --format coco --out masks": RUN,
    "pasam predict photo.jpg --point 250,200 --point 90,60,0": RUN,
    "pasam predict photo.jpg --box 80,40,420,380 --point 90,60,0": RUN,
    "pasam predict photo.jpg --box 10,10,90,90 --box 100,20,180,95": RUN,
    "pasam predict holiday/ --everything --format coco --out masks": RUN,
    "pasam predict val2017/ --detections dino.json --annotations instances_val2017.json "
    "--format coco": RUN,
    "pasam predict --prompts prompts.csv": RUN,
    "pasam predict photos/ --prompts prompts.json --format coco": RUN,
    "pasam predict photo.jpg --mask coarse.png": RUN,
    "pasam predict large.tif --box 80,40,120,90 --zoom": RUN,
    "pasam predict large.tif --everything --tiles 1": RUN,
    "pasam evaluate --images photos/ --masks masks/ --model sam --model packaged": RUN,
    "pasam evaluate --images ~/cats/photos --masks ~/cats/masks --model sam --model packaged "
    "--model packaged/pa_sam": RUN,
    "pasam export --model pa_sam --out onnx": "tests/test_documents.py::"
    "test_the_recipe_of_onnx_gives_the_predictors_masks",
    "pasam checkpoint inspect sam_vit_l_0b3195.pth": OTHERS,
    "pasam checkpoint export sam --out maskdecoder.pth": RUN,
    "pasam checkpoint import pa_sam.pth --out official.safetensors": "tests/cli/"
    "test_checkpoint_commands.py::test_export_merge_and_import_close_a_circle",
    "pasam checkpoint export pa_sam --out decoder.pth": RUN,
    "pasam checkpoint merge pa_sam --out merged.pth": RUN,
    "pasam track sync": "tests/cli/test_registry_commands.py::"
    "test_results_are_recorded_once_and_shown",
    "pasam track show": "tests/cli/test_registry_commands.py::"
    "test_results_are_recorded_once_and_shown",
    "pasam registry promote --allow-local": "tests/registry/test_promotion.py::"
    "test_without_a_commit_elsewhere_a_trial_on_this_machine_says_so",
    'pasam registry rollback --why "..."': "tests/registry/test_promotion.py::"
    "test_the_story_of_two_versions",
    "pasam demo": "tests/cli/test_serve_command.py::test_demo_opens_the_page_unless_told_not_to",
    "pasam serve --model champion --model sam": "tests/cli/test_serve_command.py::"
    "test_serve_listens_on_loopback_with_all_models_and_the_limits_given",
    "curl -F image=@photo.jpg http://127.0.0.1:8000/embed": "tests/serving/test_routes.py::"
    "test_embedding_once_and_prompting_by_name_equals_sending_the_picture",
    'curl -F embedding=px81PSLSu0APRoRtjYH7ug -F \'prompts=[{"box": [80, 40, 420, 380]}, '
    '{"points": [[250, 200], [90, 60]], "labels": [1, 0]}]\' '
    "http://127.0.0.1:8000/predict": "tests/serving/test_routes.py::"
    "test_many_prompts_equal_single_ones",
    "curl -s http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' -d \"{": "tests/"
    "registry/test_served_champion.py::"
    "test_a_client_gets_the_librarys_own_mask_and_bad_requests_a_sentence",
    "openssl ecparam -name prime256v1 -genkey -noout -out private.pem": "not here: OpenSSL's own",
    "openssl ec -in private.pem -pubout -out public.pem": "not here: OpenSSL's own",
    'curl -F image=@photo.jpg -F who=ada -F why=\'the tail was left out\' -F \'mask={"size": [480, 640], "counts": "..."}\' http://127.0.0.1:8000/feedback': OTHERS,
    "docker compose -f deploy/compose.yaml up --detach --build": OTHERS,
    "dvc cache dir /srv/dvc-cache": OTHERS,
    "dvc config cache.shared group": OTHERS,
    "dvc config cache.type reflink,hardlink,copy": OTHERS,
    "dvc exp apply NAME": TRAIN,
    "dvc exp run --queue -S train.learning_rate=0.001,0.002 -S train.seed=42,43": TRAIN,
    "dvc exp show --only-changed": TRAIN,
    "dvc pull --quiet --allow-missing --run-cache": "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    "dvc push --quiet --run-cache": "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    "dvc push --run-cache": OTHERS,
    "dvc queue start --jobs 2": OTHERS,
    "dvc remote add --default team ssh://files.example.org/srv/pasam-dvc": OTHERS,
    "git commit --quiet --no-edit": "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    'git commit --quiet -am "Fifty boxes per image"': "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    'git commit --quiet -am "Results of both changes"': "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    'git commit --quiet -am "Robustness on eight images"': "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    'git commit --quiet -am "Robustness on ten images"': "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    'git commit --quiet -am "Robustness on twelve images"': "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    'git commit -m "Name the team\'s DVC remote" .dvc/config': OTHERS,
    "git init --bare --shared=group --initial-branch=main /srv/pasam.git": OTHERS,
    "git pull --no-rebase --no-edit": "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    "git pull --quiet --no-rebase --no-edit": "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    "git push": OTHERS,
    "git push --quiet": "tests/test_team_walk.py::test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice",
    "git push --set-upstream origin main": OTHERS,
    "git remote add origin ssh://git.example.org/srv/pasam.git": OTHERS,
    "kubectl apply --kustomize deploy/kubernetes/overlays/production": OTHERS,
    "kubectl apply --kustomize deploy/kubernetes/overlays/staging": OTHERS,
    "openssl rand -hex 24 > secrets/postgres_password": OTHERS,
    "openssl rand -hex 32 > secrets/pasam_token": OTHERS,
    "pasam backup /mnt/backups/pasam.tar": "tests/registry/test_upkeep.py::test_a_project_that_was_destroyed_comes_back_elsewhere_with_the_same_champion",
    "pasam merge": "tests/cli/test_merge_command.py::test_without_the_driver_the_command_does_the_same_after_the_conflict",
    "pasam merge --take theirs": "tests/cli/test_merge_command.py::test_a_value_that_both_changed_waits_for_a_person_and_the_lock_follows_the_choice",
    "pasam report show": "tests/cli/test_evaluate_command.py::test_the_report_is_told_in_a_few_lines_of_means_and_shown_differences",
    "pasam restore /mnt/backups/pasam.tar ~/pasam": "tests/registry/test_upkeep.py::test_a_project_that_was_destroyed_comes_back_elsewhere_with_the_same_champion",
    "prefect deploy -n 'retrain/weekly retraining' -n 'nightly/nightly watch'": OTHERS,
    "prefect work-pool create kubernetes --type kubernetes --base-job-template deploy/kubernetes/prefect-job-template.json": OTHERS,
    "python -m pipelines.flows guard": OTHERS,
}
"""Where each command is run: `RUN`, a test, or `not here: why`."""

SHELLS = "not here: it changes files of the person's shell"
SLOW_TIER = "not here: the tests of the slow tier, one of which this is"
MEASURING = "not here: it measures for minutes; docs say what came of it"
OWN_SET = "tests/test_documents.py::test_a_set_of_ones_own_is_added_checked_exported_and_removed"
FEEDBACK = "tests/serving/test_feedback.py::test_review_and_forget_from_the_command_line"

IN_SENTENCES = {
    "python benchmarks/packaged_adapters.py data/photographs --out FOLDER": "tests/pipelines/"
    "test_pretrain_photographs.py::test_adapters_are_trained_on_a_folder_of_photographs",
    "make check": COMMANDS["make check"],
    "make demo": COMMANDS["pasam demo"],
    "make flows": COMMANDS["make flows"],
    "make help": "tests/test_documents.py::test_make_lists_every_target_that_the_documents_name",
    "make images": TRAIN,
    "make lock": NETWORK,
    "make long": COMMANDS["make long"],
    "make pretrain": "not here: a training of hours",
    "make reproduce": TRAIN,
    "make test": COMMANDS["make test"],
    "make ui": COMMANDS["make ui"],
    "pasam --help": RUN,
    "pasam --install-completion": SHELLS,
    "pasam clean --dry-run": "tests/registry/test_upkeep.py::test_the_commands_say_what_they_did",
    "pasam data add coco --coco data/catalogue/coco_val2017/annotations/instances_val2017.json "
    "--images data/catalogue/coco_val2017/val2017": NETWORK,
    "pasam data check cats": OWN_SET,
    "pasam data export cats --format coco --out cats-coco": OWN_SET,
    "pasam data fetch coco_val2017 seginw": NETWORK,
    "pasam data fetch hqseg44k": NETWORK,
    "pasam data fetch mobile_sam": NETWORK,
    "pasam data fetch sam_vit_l hqseg44k": NETWORK,
    "pasam data forget --who NAME": FEEDBACK,
    "pasam data remove cats": OWN_SET,
    "pasam data review --reject ID": FEEDBACK,
    "pasam data show NAME": "tests/cli/test_data_commands.py::test_show_prints_all_that_is_known",
    "pasam doctor --preset paper": "tests/cli/test_doctor.py::"
    "test_the_paper_says_what_is_missing_and_the_commands_that_fetch_it",
    "pasam doctor --team": "tests/cli/test_doctor_team.py::"
    "test_the_command_ends_with_2_and_what_to_do",
    "pasam evaluate --model pa_sam --model sam --data dis_like": "tests/cli/"
    "test_evaluate_command.py::test_several_models_on_a_set_of_the_manifest",
    "pasam predict --base vit_t": NETWORK,
    "pasam predict data/generated/dis_like/im/00028.png --box 23,4,251,224 --format overlay": TRAIN,
    "pasam predict photo.jpg --box 80,15,482,385": RUN,
    "pasam predict photo.jpg --box 80,40,420,380 --base vit_t": NETWORK,
    'pasam registry gate --adopt --why "..."': "tests/registry/test_promotion.py::test_the_story_of_two_versions",
    "pasam registry log --json": "tests/cli/test_registry_commands.py::"
    "test_decisions_are_shown_with_who_and_why",
    "pasam serve --feedback DIR": FEEDBACK,
    "pasam serve --feedback data/feedback": FEEDBACK,
    "pasam serve --help": RUN,
    "pytest -m gpu": "not here: it wants a GPU",
    "pytest -m slow": SLOW_TIER,
    "pytest tests/registry/test_verified_files.py -k vit_l": SLOW_TIER,
    "pytest -m slow tests/cli/test_doctor.py -k predicted_peak": SLOW_TIER,
    "pytest -m slow tests/serving": SLOW_TIER,
    "pytest tests/parity --fixtures FOLDER": "not here: it is tests/parity, run on the repository's "
    "own folder",
    "python -m benchmarks.kills PROJECT --action repro --kills 20": "not here: it kills for an hour",
    "python -m benchmarks.orchestration_overhead": MEASURING,
    "python -m pipelines.flows deployments --cron 'retrain=*/5 * * * *'": "tests/pipelines/"
    "test_prefect_flows.py::test_every_flow_keeps_its_parameters_and_words",
    "python -m pipelines.flows fan_out --local --workers 4": "tests/pipelines/test_fan_out.py::"
    "test_the_smoke_run_apart_equals_the_sequential_one_byte_for_byte_and_survives_ten_kills",
    "python -m pipelines.launches --nodes 2 --gpus 4 evaluate@pa_sam": "tests/training/"
    "test_many_processes.py::test_a_job_that_does_not_fit_is_told_so_in_one_line",
    "python -m pipelines.flows stage_apart --local --stage train@pa_sam": "tests/pipelines/"
    "test_fan_out.py::test_stages_given_out_by_somebody_else_are_restored_too",
    "python -m pipelines.flows watch": OTHERS,
    "python .ci/lock.py --upgrade": NETWORK,
    "python benchmarks/click_latency.py": MEASURING,
    "python benchmarks/on_gpu.py": "not here: it wants a GPU; at toy size, "
    "tests/test_project.py::test_all_that_runs_on_a_gpu_runs_at_toy_size_on_the_cpu",
    "python benchmarks/on_gpu.py --toy": "tests/test_project.py::"
    "test_all_that_runs_on_a_gpu_runs_at_toy_size_on_the_cpu",
    "python benchmarks/serving_load.py": MEASURING,
    "python benchmarks/speed.py": MEASURING,
    "python benchmarks/speed.py --device cuda --rows vit_b": MEASURING,
    "python benchmarks/statistics_simulation.py": MEASURING,
}
"""The same for what stands in a sentence with more than a command's name.

Commands of other tools (dvc, git, mlflow, prefect, docker) in sentences are theirs, and not listed.
"""

NAMED_ONLY = (
    "pasam predict --zoom",
    "pasam predict --detections",
    "pasam predict --model champion",
)
"""Parts of commands, which are run with the rest of what they need."""

TOOLS = (
    "pasam", "make", "dvc", "git", "pip", "python", "prefect", "mlflow", "curl", "openssl",
    "docker", "podman", "kubectl", "sbatch",
)  # fmt: skip


def documents(root):
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]


def documented(root):
    """All commands in the fenced blocks of all documents, without comments and line breaks."""
    found = []
    for path in documents(root):
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(), re.M | re.S):
            if language not in ("", "console", "bash"):
                continue
            lines = re.sub(r"\\\n\s*", "", block).splitlines()
            plain = (re.sub(r"\s+#.*$", "", line).strip() for line in lines)
            found += [line for line in plain if line.split(" ")[0] in TOOLS and " -> " not in line]
    return sorted(set(found))


def test_every_documented_command_is_run_somewhere_or_marked(root):
    assert documented(root) == sorted(COMMANDS)


def in_sentences(root):
    """All commands of our own between back ticks, outside of blocks."""
    found = set()
    for path in documents(root):
        text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
        spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text))
        found |= {span for span in spans if re.match(r"(pasam|make|python|pytest) \S", span)}
    return found


def groups_and_commands(command, words=("pasam",)):
    yield " ".join(words)
    for name, below in getattr(command, "commands", {}).items():
        yield from groups_and_commands(below, (*words, name))


def test_every_command_in_a_sentence_is_run_somewhere_or_marked(root):
    names = set(groups_and_commands(typer.main.get_command(app)))
    listed = {*COMMANDS, *IN_SENTENCES, *NAMED_ONLY}
    assert sorted(in_sentences(root) - names - listed) == []
    assert sorted({*IN_SENTENCES, *NAMED_ONLY} - in_sentences(root)) == []


def test_make_lists_every_target_that_the_documents_name(root):
    done = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True)
    told = set(re.findall(r"^  (make \w+)", done.stdout, re.M))
    typed = {*COMMANDS, *in_sentences(root)}
    assert {words for words in typed if words.startswith("make ")} <= told


@cache
def names_in(path):
    """Names of a file's functions."""
    return {each.name for each in ast.parse(path.read_text()).body if hasattr(each, "name")}


RUN_BY_TESTS = sorted(
    {w for w in (*COMMANDS.values(), *IN_SENTENCES.values()) if w.startswith("tests/")}
)


@pytest.mark.parametrize("where", RUN_BY_TESTS)
def test_the_test_that_runs_a_command_is_there(where, root):
    path, name = where.split("::")
    assert name in names_in(root / path)


FINDINGS = {
    "operations": [*map(str, range(1, 24)), "T1", "T2", "T3", "T5", "T6", "T7", "T11"],
    "security": [*map(str, range(1, 16)), *(f"T{number}" for number in range(1, 13))],
}


@pytest.mark.parametrize("page", FINDINGS)
def test_every_finding_has_tests_that_are_there(page, root):
    text = (root / f"docs/{page}.md").read_text()
    rows = re.findall(r"^\| (T?\d+) \| .* \| (.*) \|$", text, re.M)
    assert [number for number, _ in rows] == FINDINGS[page]
    for _, cell in rows:
        path = ""
        for name in re.findall(r"`([^`]+)`", cell):
            path, _, function = name.rpartition("::") if "::" in name else (path, "", name)
            assert function in names_in(root / "tests" / path), name


TYPED = [typed for typed in (*COMMANDS, *IN_SENTENCES) if typed.startswith("pasam ")]


@pytest.mark.parametrize("typed", TYPED)
def test_a_documented_command_has_the_options_that_it_is_typed_with(typed, root):
    command, words = typer.main.get_command(app), shlex.split(typed)[1:]
    context = click.Context(command)
    while getattr(command, "commands", None) and not words[0].startswith("--"):
        command = command.commands[words.pop(0)]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    known |= {"--help"}
    assert [word for word in words if word.startswith("--") and word not in known] == []
    assert context.command


@pytest.fixture(scope="module")
def folder(tmp_path_factory, root):
    """A folder with all the files that the documents' commands name."""
    place = tmp_path_factory.mktemp("documents")
    coffee = Image.fromarray(skimage.data.coffee())
    coffee.save(place / "photo.jpg")
    coffee.save(place / "large.tif")
    mask = np.zeros((400, 600), np.uint8)
    mask[60:360, 120:440] = 255
    Image.fromarray(mask).save(place / "coarse.png")
    many = range(1, 25)  # of which a fifth falls into val, whatever their digests are
    for name in ("photos", "holiday", "val2017", "cats/photos"):
        (place / name).mkdir(parents=True)
        for number in many if name.startswith("cats") else (1, 2):
            coffee.rotate(number).save(place / name / f"{number:012}.jpg")
    for name in ("masks", "cats/masks"):
        (place / name).mkdir(parents=True)
        for number in many if name.startswith("cats") else (1, 2):
            Image.fromarray(mask).save(place / name / f"{number:012}.png")
    box = {"box": [80, 15, 482, 385]}
    (place / "prompts.csv").write_text("image,x0,y0,x1,y1\nphoto.jpg,80,15,482,385\n")
    (place / "prompts.json").write_text(json.dumps({f"{n:012}.jpg": [box] for n in (1, 2)}))
    images = [{"id": n, "file_name": f"{n:012}.jpg", "height": 400, "width": 600} for n in (1, 2)]
    categories = [{"id": 1, "name": "cup"}]
    annotations = {"images": images, "annotations": [], "categories": categories}
    (place / "instances_val2017.json").write_text(json.dumps(annotations))
    found = {"image_id": 1, "category_id": 1, "bbox": [80, 15, 402, 370], "score": 0.9}
    (place / "dino.json").write_text(json.dumps([found]))
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed",
    [typed for listed in (COMMANDS, IN_SENTENCES) for typed, at in listed.items() if at == RUN],
)
def test_a_documented_command_does_what_it_says(typed, folder, root, monkeypatch):
    monkeypatch.chdir(folder)
    words = shlex.split(typed.replace("~", str(folder)))[1:]
    (folder / "params.yaml").unlink(missing_ok=True)  # what the package brings is enough
    if words[0] == "data":  # but a set of one's own becomes part of a project
        (folder / "params.yaml").write_text((root / "params/default.yaml").read_text())
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.output.strip()


@pytest.mark.slow  # with worker processes, as people type it
def test_a_set_of_ones_own_is_added_checked_exported_and_removed(folder, root, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "params.yaml").write_text((root / "params/default.yaml").read_text())
    for typed in (
        "pasam data add cats --images cats/photos --masks cats/masks --replace",
        "pasam data check cats",
        "pasam data export cats --format coco --out cats-coco",
        "pasam data remove cats",
    ):
        result = CliRunner().invoke(app, shlex.split(typed)[1:])
        assert result.exit_code == 0, result.output
    assert len(json.loads((folder / "cats-coco/annotations.json").read_text())["images"]) == 24
    assert not (folder / "data/own/cats").exists()


IN_THE_REPOSITORY = r"(?:docs|tests|pasam|params|pipelines|benchmarks|deploy)/[\w./-]+"


def test_every_path_of_the_repository_in_a_document_is_there(root):
    documents = [
        root / "README.md",
        root / "CONTRIBUTING.md",
        *sorted((root / "docs").glob("*.md")),
    ]
    named = {
        (document.name, path)
        for document in documents
        for path in re.findall(rf"`({IN_THE_REPOSITORY})`", document.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    made_by_its_reader = {"deploy/secrets"}
    absent = [pair for pair in sorted(named) if not (root / pair[1]).exists()]
    assert [pair for pair in absent if pair[1] not in made_by_its_reader] == []


def test_the_index_names_every_document(root):
    index = (root / "README.md").read_text().partition("## Documentation")[2]
    linked = set(re.findall(r"\]\((?:docs/)?([\w.]+)\)", index.partition("\n## ")[0]))
    assert {path.name for path in (root / "docs").glob("*.md")} <= linked


@pytest.fixture(scope="module")
def public(root):
    """By module, the names that docs/scope.md promises to keep."""
    listed = (root / "docs" / "scope.md").read_text().partition("```text\n")[2].partition("```")[0]
    names = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in listed.splitlines()[1:])
    return {module: set(text.split(", ")) for module, text in names.items()}


def test_every_public_name_is_there_and_says_what_it_is(public):
    for module, names in public.items():
        for name in names - {"every class"}:
            there = getattr(importlib.import_module(module), name)
            assert there.__doc__, f"{module}.{name}"


def test_the_documents_use_public_names_only(public, root):
    private = []
    for path in documents(root):
        for block in re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pasam"):
                    names = {alias.name for alias in node.names}
                    private += sorted(names - public.get(node.module, set()))
    assert private == []


@pytest.fixture(scope="module")
def blocks(root):
    text = (root / "docs" / "predict.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(model_project, tmp_path, monkeypatch):
    """A copy of a small project with a photograph in it."""
    folder = shutil.copytree(model_project, tmp_path / "project")
    Image.fromarray(picture(60, 90)).save(folder / "photo.jpg", quality=100)
    monkeypatch.chdir(folder)
    return folder


def test_the_predictors_examples_run(blocks, project):
    names: dict = {}
    for block in blocks[:3]:
        exec(block, names)
    assert names["masks"].shape == (1, 60, 90)
    assert names["answer"].details.uncertainty.shape == (60, 90)
    assert names["mask"].shape == (60, 90)
    assert names["window"] == (28, 18, 43, 30)


PHOTOGRAPHS = {
    "coffee": [80, 15, 482, 385],
    "astronaut": [60, 0, 400, 500],
    "chelsea": [60, 20, 400, 290],
    "rocket": [300, 30, 360, 400],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pa_sam", "pa_sam_plus"])
def test_the_recipe_of_onnx_gives_the_predictors_masks(name, blocks, in_empty_folder):
    predictor = load_predictor(name)
    export_onnx(predictor, in_empty_folder / "onnx")
    for photograph, box in PHOTOGRAPHS.items():
        names: dict = {"photo": getattr(skimage.data, photograph)()}
        exec(blocks[3].replace("[80, 15, 482, 385]", str(box)), names)
        predictor.set_image(names["photo"])
        expected = predictor.predict(box=box)[0][0]
        assert 0.02 < expected.mean() < 0.8
        overlap, union = names["mask"] & expected, names["mask"] | expected
        assert overlap.sum() / union.sum() >= 0.999, photograph
