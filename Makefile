# `make demo` and `make test` each need Python 3.11 or newer and nothing else:
# they make .venv and install the versions of constraints.txt into it, once.
PYTHON ?= python3
BACKENDS ?= tensorflow jax torch
DEMO_BACKEND ?= jax
JOBS ?= 2

venv := .venv
constraints := constraints.txt
bin := $(venv)/bin
pip := $(bin)/python -m pip install --quiet --disable-pip-version-check --constraint $(constraints)

.PHONY: demo test lint types suite paper compat clean

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

# The suite's core on the oldest Keras, TensorFlow and JAX that are promised.
parts := inner_optimizers wgd fit loops radam kernels whitening models cross_backend
study := test_runs_are_made_once_and_failures_stop_nobody
compat: export PYTEST = $(parts:%=tests/test_%.py) tests/test_runner.py::$(study)
compat:
	@$(MAKE) --no-print-directory suite venv=.venv-compat constraints=constraints-compat.txt

clean:
	rm -rf .venv .venv-compat build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(venv)/bin/python:
	$(PYTHON) -m venv $(venv)

$(venv)/demo.stamp: pyproject.toml $(constraints) | $(venv)/bin/python
	$(pip) --editable '.[study,$(DEMO_BACKEND)]'
	@touch $@

$(venv)/dev.stamp: pyproject.toml $(constraints) | $(venv)/bin/python
	$(pip) --editable '.[dev]'
	@touch $@
