# `make demo` and `make test` each need Python 3.11 or newer and nothing else:
# they make .venv and install the versions of constraints.txt into it, once.
PYTHON ?= python3
BACKENDS ?= tensorflow jax torch
DEMO_BACKEND ?= jax
JOBS ?= 2

venv := .venv
bin := $(venv)/bin
pip := $(bin)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint types suite paper clean

demo: $(venv)/demo.stamp
	KERAS_BACKEND=$(DEMO_BACKEND) $(bin)/keras-wgd study --preset quick --out runs/quick

test: lint types suite

lint: $(venv)/dev.stamp
	$(bin)/ruff check .
	$(bin)/ruff format --check .

types: $(venv)/dev.stamp
	$(bin)/mypy

# Keras reads its backend once a process, so the suite runs once for each.
suite: $(venv)/dev.stamp
	@for backend in $(BACKENDS); do \
	    printf '\n== %s\n' $$backend; \
	    KERAS_BACKEND=$$backend OMP_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=2 \
	        $(bin)/python -m pytest --numprocesses $(JOBS) $(PYTEST) || exit 1; \
	done

# Each of the paper's 48 runs, two steps long, on each backend.
paper: export KERAS_WGD_ALL_RUNS = 1
paper: PYTEST = tests/test_paper_runs.py
paper: suite

clean:
	rm -rf $(venv) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(venv)/bin/python:
	$(PYTHON) -m venv $(venv)

$(venv)/demo.stamp: pyproject.toml constraints.txt | $(venv)/bin/python
	$(pip) --editable '.[study,$(DEMO_BACKEND)]'
	@touch $@

$(venv)/dev.stamp: pyproject.toml constraints.txt | $(venv)/bin/python
	$(pip) --editable '.[dev]'
	@touch $@
