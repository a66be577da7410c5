# Two commands set everything up: `make demo` and `make test`. `make` alone lists all of them.

# Any Python 3.10-3.13 that starts; name one with `make test PYTHON=/path/to/python`.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.10 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$name && break; done)

# .venv holds the tool with the CPU runtime, .venv-test everything a developer needs.
VENV ?= .venv
VENV_TEST ?= .venv-test
RUN = $(VENV)/bin
DEV = $(VENV_TEST)/bin

# What pip is told about torch, before all else, so that no other requirement chooses its version. A box
# without a GPU saves some gigabytes with a CPU build: `make test TORCH=/path/to/torch-cpu.whl`, or pip's
# options for the index that has one.
TORCH ?= torch==2.13.0

PYTHON_CODE = src train export tests docs $(wildcard benchmarks)
BENCHMARKS = compose_latency start_up decode_limit crop_throughput peers up_to_date

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help install demo sheet docs test lint type format bench reliability bench-quality train-nano clean jpegtran

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/ready ## Install the tool with the CPU runtime into .venv

demo: $(VENV)/ready ## Crop the example photos into ./shots
	$(RUN)/shotcrop crop examples/photos -o shots
	@echo "Three crops and one .json beside them for each photo of examples/photos: look into $(CURDIR)/shots"

sheet: demo ## Redraw docs/contact-sheet.jpg from the example photos
	$(RUN)/shotcrop sheet shots -o docs/contact-sheet.jpg

docs: $(VENV_TEST)/ready-to-test ## Write docs/cli.md anew from the command line
	$(DEV)/python docs/cli.py > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

test: jpegtran lint type ## Run the linter, the type checker and the tests
	OMP_NUM_THREADS=1 $(DEV)/python -m pytest  # torch's threads stall one another on a busy machine

lint: $(VENV_TEST)/ready-to-test ## Check style and layout of the code
	$(DEV)/ruff check $(PYTHON_CODE)
	$(DEV)/ruff format --check $(PYTHON_CODE)

type: $(VENV_TEST)/ready-to-test ## Check the types
	$(DEV)/mypy

format: $(VENV_TEST)/ready-to-test ## Lay the code out and repair what the linter can
	$(DEV)/ruff check --fix $(PYTHON_CODE)
	$(DEV)/ruff format $(PYTHON_CODE)

bench: $(VENV_TEST)/ready-to-bench ## Time it beside its limits, other codecs and other croppers, some 10 minutes
	@for name in $(BENCHMARKS); do echo "$$name"; $(DEV)/python -m benchmarks.speed.$$name || exit 1; done

reliability: $(VENV_TEST)/ready-to-test ## Kill, starve and feed it as docs/reliability.md says, some 20 minutes
	PYTHONPATH=tests $(DEV)/python -m benchmarks.reliability.reliability --markdown docs/reliability.md

bench-quality: $(VENV_TEST)/ready-to-test ## Score the default model beside baselines: DATA=path, other MODEL=, OUT=runs/quality
	$(call need,DATA)
	$(DEV)/python -m benchmarks.quality.quality "$(DATA)" $(if $(MODEL),--model "$(MODEL)") $(if $(OUT),--out "$(OUT)")

train-nano: $(VENV_TEST)/ready-to-test ## Train and export the default model into runs/nano, going on where it was cut: DATA=path
	$(call need,DATA)
	$(DEV)/shotcrop train run --config nano --data "$(DATA)" -o runs/nano

clean: ## Remove the environments, caches and crops that make has made
	rm -rf $(VENV) $(VENV_TEST) shots build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The tests of `--lossless` run the real jpegtran. No Python package brings it.
jpegtran:
	@command -v jpegtran >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update --quiet=2 && apt-get install --yes --quiet=2 libjpeg-turbo-progs; \
		else \
			echo "The tests need jpegtran. Fix: sudo apt install libjpeg-turbo-progs, or brew install jpeg-turbo" >&2; \
			exit 1; \
		fi; }

# A `ready` file marks a complete environment: it is written last and is renewed when pyproject.toml changes.
$(VENV)/ready: pyproject.toml
	$(call create-environment,$(VENV))
	@echo "Installing shotcrop into $(VENV) ..."
	$(VENV)/bin/python -m pip install --quiet --editable '.[cpu]'
	@touch $@

$(VENV_TEST)/ready-to-test: pyproject.toml tests/constraints.txt
	$(call create-environment,$(VENV_TEST))
	@echo "Installing shotcrop with torch and the training stack into $(VENV_TEST): this takes minutes, once ..."
	$(VENV_TEST)/bin/python -m pip install --quiet $(TORCH)
	$(VENV_TEST)/bin/python -m pip install --quiet --constraint tests/constraints.txt \
		--editable '.[cpu,train,export,raw,dev]'
	@touch $@

# Not in the environment of the tests, which need none of it.
$(VENV_TEST)/ready-to-bench: $(VENV_TEST)/ready-to-test
	@echo "Installing codecs and croppers to compare with ..."
	$(VENV_TEST)/bin/python -m pip install --quiet --constraint tests/constraints.txt --editable '.[bench]'
	@touch $@

define create-environment
@test -n "$(PYTHON)" || { echo "No Python 3.10-3.13 found. Remedy: sudo apt install python3 python3-venv" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo "$(PYTHON) cannot create virtual environments. Remedy: sudo apt install $(notdir $(PYTHON))-venv" >&2; exit 1; }
@test -x $(1)/bin/pip || $(PYTHON) -m venv $(1)
endef

define need
@test -n "$($(1))" || { echo "Say which: make $@ $(1)=path" >&2; exit 2; }
endef
