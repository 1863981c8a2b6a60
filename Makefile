# Every target sets up .venv by itself: Python 3.11–3.13, git and make are all that a machine needs first.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE # TensorFlow's import takes 25 s more each time where nothing is cached

PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
RECIPE ?= $(if $(BDD_RECIPE),$(BDD_RECIPE),recipes/sample.yaml)
PORT ?= 3000

.PHONY: another-python help setup gpu demo run dev test soak check format bench bench-labels bench-dataset bench-mrcnn bench-gpu lock clean

help: ## what the targets do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 20

setup: $(READY) ## create .venv from requirements.lock

$(READY): requirements.lock requirements-setup.lock pyproject.toml
	@$(FITS) || { echo "Python 3.11, 3.12 or 3.13 is needed: install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock
	@echo "installing what requirements.lock pins (a minute or two)"
	@$(VENV)/bin/uv pip sync --quiet --python $(RUN) --require-hashes requirements.lock requirements-setup.lock
	@$(VENV)/bin/uv pip install --quiet --python $(RUN) --no-deps --no-build-isolation -e .
	@test ! -e $(VENV)/.gpu || $(INSTALL_GPU)
	@touch $@

FITS = { "$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; } 2>/dev/null
ifneq ($(origin PYTHON), file) # one was named: where .venv has another, it is made again
ifneq ($(shell "$(PYTHON)" -V 2>&1), $(shell $(RUN) -V 2>&1))
$(READY): another-python
endif
endif
another-python:
	@! $(FITS) || rm -rf $(VENV)

INSTALL_GPU = $(VENV)/bin/uv pip install --quiet --python $(RUN) --require-hashes -r requirements-gpu.lock
gpu: $(READY) ## add TensorFlow's CUDA libraries, also each time that .venv is brought up to date
	@$(INSTALL_GPU)
	@touch $(VENV)/.gpu

demo: $(READY) ## the whole chain on the embedded sample, on a CPU
	@$(RUN) -m assets --recipe recipes/sample.yaml

run: $(READY) ## the whole chain with RECIPE=file.yaml
	@$(RUN) -m assets --recipe "$(RECIPE)"

dev: $(READY) ## the Dagster UI on http://localhost:$(PORT)
	@$(RUN) -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null || \
		{ echo "port $(PORT) is in use: PORT=$$(($(PORT) + 1)) make dev takes another"; exit 1; }
	@$(RUN) -m assets.web dev -w workspace.yaml -p $(PORT)

test: $(READY) ## all tests (7 to 14 minutes on 2 cores)
	@$(RUN) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

soak: $(READY) ## the long proofs
	@$(RUN) -m pytest -q -m soak -rP --durations=0

check: $(READY) ## format, lint, types, direction of imports
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo

format: $(READY) ## rewrite the code in the project's format
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

bench: $(READY) ## benchmarks: ratios measured side by side
	@$(RUN) -m benchmarks

bench-labels: $(READY) ## raw_labels and filtered_labels beside json.load, 70,000 frames as in 2018
	@$(RUN) -m benchmarks labels

bench-dataset: $(READY) ## dataset_zip beside cp, 20,000 images
	@$(RUN) -m benchmarks dataset

bench-mrcnn: $(READY) ## our network beside the original (ORIGINAL_PYTHON=) and torchvision (TORCHVISION_PYTHON=)
	@$(RUN) -m benchmarks.networks

bench-gpu: $(READY) ## our network on this machine's GPU (after make gpu)
	@$(RUN) -m benchmarks gpu

COMPILE = $(VENV)/bin/uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url
UPGRADE = --upgrade
lock: $(READY) ## resolve the pins again; UPGRADE= keeps those that pyproject.toml still allows
	@$(COMPILE) --extra dev pyproject.toml -o requirements.lock
	@$(COMPILE) --extra gpu -c requirements.lock pyproject.toml -o requirements-gpu.lock
	@echo uv | $(COMPILE) - -o requirements-setup.lock

clean: ## remove .venv (never data/)
	rm -rf $(VENV)
