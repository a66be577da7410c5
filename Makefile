# Two commands set everything up: `make demo` and `make test`. `make` alone lists all of them.

# Any Python 3.10-3.13 that starts; name one with `make test PYTHON=/path/to/python`.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.10 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$name && break; done)

# .venv holds the tool with the CPU runtime, .venv-cli adds what its tests need, .venv-test also torch and the rest.
VENV ?= .venv
VENV_CLI ?= .venv-cli
VENV_TEST ?= .venv-test
RUN = $(VENV)/bin
DEV = $(VENV_TEST)/bin

# One process per core. Torch's threads would only get in each other's way, so each process uses one.
PYTEST = OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --dist worksteal

# The torch that pip installs first, so that no other requirement chooses its version. On a machine without a GPU, a
# CPU build saves gigabytes: `make test TORCH=/path/to/torch-cpu.whl`, or pip's options for an index that has one.
TORCH ?= torch==2.13.0

PYTHON_CODE = src train export tests docs $(wildcard benchmarks)
BENCHMARKS = compose_latency start_up decode_limit crop_throughput ratio_sets peers up_to_date

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help install demo sheet docs test test-cli lint type format bench reliability reliability-ray bench-quality train-nano clean jpegtran chromium

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/ready ## Install shotcrop with the CPU runtime into .venv

demo: $(VENV)/ready ## Crop the example photos into ./shots
	$(RUN)/shotcrop crop examples/photos -o shots
	@echo "Each photo of examples/photos has three crops and a .json file in $(CURDIR)/shots"

sheet: demo ## Redraw docs/contact-sheet.jpg from the example photos
	$(RUN)/shotcrop sheet shots -o docs/contact-sheet.jpg

docs: $(VENV_TEST)/ready-to-test ## Write docs/cli.md and the drawn pictures from the code
	$(DEV)/python docs/cli.py > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md
	$(DEV)/python docs/imports.py
	PYTHONPATH=tests $(DEV)/python docs/refinement.py

test: jpegtran chromium lint type ## Run the linter, the type checker and all tests
	$(subst python,$(DEV)/python,$(PYTEST))

test-cli: jpegtran chromium $(VENV_CLI)/ready ## Run the tests of the command line, without torch
	$(subst python,$(VENV_CLI)/bin/python,$(PYTEST)) tests/cli

lint: $(VENV_TEST)/ready-to-test ## Check the style of the code
	$(DEV)/ruff check $(PYTHON_CODE)
	$(DEV)/ruff format --check $(PYTHON_CODE)

type: $(VENV_TEST)/ready-to-test ## Check the types
	$(DEV)/mypy

format: $(VENV_TEST)/ready-to-test ## Format the code and apply the linter's fixes
	$(DEV)/ruff check --fix $(PYTHON_CODE)
	$(DEV)/ruff format $(PYTHON_CODE)

bench: $(VENV_TEST)/ready-to-bench ## Measure speed against limits and peers (10 minutes)
	@for name in $(BENCHMARKS); do echo "$$name"; $(DEV)/python -m benchmarks.speed.$$name || exit 1; done

reliability: $(VENV_TEST)/ready-to-test ## Run the reliability tests of docs/reliability.md (20 minutes)
	PYTHONPATH=tests $(DEV)/python -m benchmarks.reliability.reliability --markdown docs/reliability.md

reliability-ray: $(VENV_TEST)/ready-to-test ## Install Ray, and kill its workers, nodes and drivers (an hour)
	$(DEV)/python -m pip install --quiet --constraint tests/constraints.txt --editable '.[ray]'
	PYTHONPATH=tests $(DEV)/python -m benchmarks.reliability.ray_kills

bench-quality: $(VENV_TEST)/ready-to-test ## Score a model and baselines: DATA=path [MODEL=path] [OUT=path]
	$(call need,DATA)
	$(DEV)/python -m benchmarks.quality.quality "$(DATA)" $(if $(MODEL),--model "$(MODEL)") $(if $(OUT),--out "$(OUT)")

train-nano: $(VENV_TEST)/ready-to-test ## Train and export the default model into runs/nano; resumes: DATA=path [START=weights]
	$(call need,DATA)
	$(DEV)/shotcrop train run --config nano --data "$(DATA)" -o runs/nano $(if $(START),--start "$(START)")

clean: ## Remove environments, caches and the crops of make demo
	rm -rf $(VENV) $(VENV_CLI) $(VENV_TEST) shots build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The tests of `--lossless` run the real jpegtran. No Python package brings it.
jpegtran: ## Install jpegtran, which the tests of --lossless need
	@command -v jpegtran >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update --quiet=2 && apt-get install --yes --quiet=2 libjpeg-turbo-progs; \
		else \
			echo "The tests need jpegtran. Fix: sudo apt install libjpeg-turbo-progs, or brew install jpeg-turbo" >&2; \
			exit 1; \
		fi; }

# The tests of the review page drive a real browser. Without one they are skipped.
chromium: ## Install Chromium, which the tests of the review page use
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update --quiet=2 && apt-get install --yes --quiet=2 --no-install-recommends chromium >/dev/null; \
		else \
			echo "Without Chromium, the tests of the review page are skipped. Fix: sudo apt install chromium" >&2; \
		fi; }

# A `ready` file marks a complete environment: make writes it last, and again when pyproject.toml changes.
$(VENV)/ready: pyproject.toml
	$(call create-environment,$(VENV))
	@echo "Installing shotcrop into $(VENV) ..."
	$(VENV)/bin/python -m pip install --quiet --editable '.[cpu]'
	@touch $@

$(VENV_CLI)/ready: pyproject.toml tests/constraints.txt
	$(call create-environment,$(VENV_CLI))
	@echo "Installing shotcrop with its test tools into $(VENV_CLI) ..."
	$(VENV_CLI)/bin/python -m pip install --quiet --constraint tests/constraints.txt --editable '.[cpu,raw,captions,review,pdf,motion,s3,dev]'
	@touch $@

$(VENV_TEST)/ready-to-test: pyproject.toml tests/constraints.txt
	$(call create-environment,$(VENV_TEST))
	@echo "Installing shotcrop with torch and the training stack into $(VENV_TEST); this takes minutes, once ..."
	$(VENV_TEST)/bin/python -m pip install --quiet $(TORCH)
	$(VENV_TEST)/bin/python -m pip install --quiet --constraint tests/constraints.txt \
		--editable '.[cpu,train,export,raw,captions,review,pdf,motion,s3,dev]'
	@touch $@

# Installed apart from the tests' environment, which does not need them.
$(VENV_TEST)/ready-to-bench: $(VENV_TEST)/ready-to-test
	@echo "Installing codecs and croppers to compare with ..."
	$(VENV_TEST)/bin/python -m pip install --quiet --constraint tests/constraints.txt --editable '.[bench]'
	@touch $@

define create-environment
@test -n "$(PYTHON)" || { echo "No Python 3.10-3.13 found. Fix: sudo apt install python3 python3-venv" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo "$(PYTHON) cannot create virtual environments. Fix: sudo apt install $(notdir $(PYTHON))-venv" >&2; exit 1; }
@test -x $(1)/bin/pip || $(PYTHON) -m venv $(1)
endef

define need
@test -n "$($(1))" || { echo "$(1) is missing. Fix: make $@ $(1)=path" >&2; exit 2; }
endef
