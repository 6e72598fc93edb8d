# Every target makes its own environment in .venv on first use; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON := $(or $(PYTHON),$(shell command -v python3.11 || command -v python3))
VENV := .venv
READY := $(VENV)/.ready
PIP := python -m pip install --quiet --disable-pip-version-check --no-deps

# Stages call `python`: it has to be the one of the environment.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1

.PHONY: help reproduce demo images flows ui test long check pretrain lock wheel clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

reproduce: $(READY) ## Run the pipeline as far as anything changed; print Table 1 and the figure's path
	@python -m pipelines.side_by_side
	@dvc repro
	@pasam report show

demo: $(READY) ## Open the page: click on a picture, see the masks
	@pasam demo

# A wheel in its box; README names the same command. demo.png is a screenshot of `make demo`.
images: $(READY) ## Renew the images that README shows from the last run, in docs/images
	@pasam report images
	@for model in sam pa_sam pa_sam_plus; do \
	  pasam predict data/generated/dis_like/im/00028.png --model $$model --box 23,4,251,224 \
	    --format overlay --out docs/images; \
	  mv docs/images/00028_overlay.png docs/images/wheel_$$model.png; \
	done

flows: $(READY) ## Serve the flows on schedule and say Prefect's address; Ctrl-C ends it
	@python -m pipelines.flows deployments

ui: $(READY) ## Show Prefect's and MLflow's pages and say their addresses; Ctrl-C ends it
	@python -m pipelines.flows ui

# Compiled once, not anew by each process that a test starts.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(READY) ## Run the fast tests, two to three minutes on two quick cores
	@pytest -n auto --maxprocesses 4 --dist worksteal

long: export PYTHONDONTWRITEBYTECODE :=
long: $(READY) ## Run the tests that take longer each, which the fast ones leave out
	@pytest -n auto --maxprocesses 4 --dist worksteal -m "long and not slow and not gpu and not weights"

check: $(READY) ## Lint, format, types and layers, changing nothing
	@ruff check .
	@ruff format --check .
	@mypy
	@lint-imports

pretrain: $(READY) ## Train the small base anew (hours); its weights are part of the repository
	@[ ! -e dvc.yaml.kept ] || mv dvc.yaml.kept dvc.yaml # left by one that was killed
	@cp dvc.yaml dvc.yaml.kept; trap 'mv dvc.yaml.kept dvc.yaml' EXIT; \
	  dvc unfreeze --quiet pretrain; dvc repro --force --single-item pretrain # unfreezing reformats

lock: $(READY) ## Bring requirements.lock up to date with pyproject.toml
	@python .ci/lock.py
	@python .ci/serve_lock.py

wheel: $(READY) ## Build a wheel, a source archive and their bill of materials, in dist
	@rm -rf dist && python -m build --no-isolation --outdir dist .
	@python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml \
	  --output-reproducible -o dist/prompt-adapter-sam.cdx.json requirements.lock

clean: ## Remove the environment and the tools' caches; data and results stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	@find pasam pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock requirements-cpu.lock requirements-cuda.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than Python 3.11; try make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "Installing the environment into $(VENV); this takes some minutes, once."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes -r requirements-cpu.lock 2>/dev/null || true
	@$(PIP) --require-hashes -r requirements.lock
	@python -c 'import importlib.metadata as m, sys; sys.exit(not m.version("torch").endswith("+cpu"))' \
	  || $(PIP) --require-hashes -r requirements-cuda.lock
	@$(PIP) --no-build-isolation -e .
	@python -m pip check
	@! git rev-parse --git-dir >/dev/null 2>&1 || pasam merge --setup
	@touch $@
