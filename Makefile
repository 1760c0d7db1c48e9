# Every target works in a fresh clone: Python 3.11, pip and node are all it needs to begin with.
# make help lists the targets.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_ARGS ?= -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help venv sweep serve test test-all lint format bench packages pins clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

venv: $(STAMP) ## The environment .venv with the pinned packages

$(STAMP): pyproject.toml constraints.txt
	scripts/venv "$(PYTHON)" $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

sweep: venv ## The main job: service, PPO sweep over REST, best checkpoint, evaluation
	$(BIN)/python examples/main_job.py

serve: venv ## API, dashboard and worker on 127.0.0.1
	$(BIN)/tunerl serve

packages: ## The Debian packages the tests use: Chromium, PostgreSQL, fonts
	scripts/packages

test: venv packages lint ## Lint, types and the fast tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-all: venv packages lint ## The same, with the learning runs
	$(BIN)/python -m pytest -m 'slow or not slow' $(PYTEST_ARGS)

lint: venv ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: venv ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: venv ## The tables of the README; makes the peers' environment under .bench first
	$(BIN)/python -m benchmarks.sweep
	$(BIN)/python -m benchmarks.sweep_zoo

pins: venv ## Write constraints.txt from what .venv holds, all extras installed
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev,box2d,mujoco]'
	echo '# What every extra of pyproject.toml was tested with, indirect dependencies included.' \
	    'Written by `make pins`.' > constraints.new
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+.*//' | sort -f >> constraints.new
	mv constraints.new constraints.txt

clean: ## Remove the environment, caches and build outputs
	rm -rf $(VENV) .bench build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
