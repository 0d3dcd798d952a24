# Each target needs Python 3.11 or newer and nothing else. The first one makes .venv and
# installs the versions of constraints.txt into it.
PYTHON ?= python3
BACKENDS ?= torch jax tensorflow
DEMO_BACKEND ?= jax
JOBS ?= 2
SEED ?= 0

venv := .venv
environment := dev
constraints := constraints.txt
bin := $(venv)/bin
install := -m pip install --quiet --disable-pip-version-check --constraint $(constraints)
pip := $(bin)/python $(install)

.PHONY: demo test test-all lint types suite keras-own paper \
    compat compat-oldest compat-nightly docs dist clean

demo: $(venv)/demo.stamp
	KERAS_BACKEND=$(DEMO_BACKEND) $(bin)/keras-wgd study --preset quick --out runs/quick

# The first tier of the tests: all but those that are marked slow.
test: marks = not slow
test: lint types suite

# Both tiers. Another SEED draws other examples in the fuzzing tests.
test-all: thorough = --hypothesis-profile=thorough --hypothesis-seed=$(SEED)
test-all: lint types suite keras-own

lint: $(venv)/dev.stamp
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/lint-imports --no-logo

types: $(venv)/dev.stamp
	$(bin)/mypy

# Keras reads its backend once per process, so the suite runs once for each backend.
# Tests that do not depend on the backend run with the first one only.
suite keras-own: export OMP_NUM_THREADS = 1
suite keras-own: export TF_CPP_MIN_LOG_LEVEL = 2
# The tests take few steps: compilation takes longer than optimized programs save.
suite keras-own: export JAX_DISABLE_MOST_OPTIMIZATIONS = 1
# The processes share their compiled programs.
suite keras-own: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/.jax_cache
suite keras-own: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
suite: $(venv)/$(environment).stamp
	@marks='$(marks)'; for backend in $(BACKENDS); do \
	    printf '\n== %s\n' $$backend; \
	    KERAS_BACKEND=$$backend $(bin)/python -m pytest --numprocesses $(JOBS) \
	        --dist worksteal -m "$$marks" $(thorough) $(PYTEST) || exit 1; \
	    marks="$${marks:+$$marks and }not any_backend"; \
	done

# Keras's own tests, with every optimizer that they build wrapped.
keras-own: $(venv)/dev.stamp
	@for backend in $(BACKENDS); do \
	    printf "\n== Keras's own tests, %s\n" $$backend; \
	    KERAS_BACKEND=$$backend $(bin)/python tests/support/keras_own.py \
	        --numprocesses $(JOBS) --dist worksteal || exit 1; \
	done

# Each of the paper's 48 runs, two steps long, on each backend.
paper: PYTEST = tests/test_paper_runs.py -m ''
paper: suite

# The suite's core on the oldest Keras, TensorFlow and JAX that are promised, and on a
# pre-release of Keras.
parts := inner_optimizers inner_methods rebuild wgd wgd_steps fit loops radam \
    radam_options radam_backends kernels kernel_names kernels_argument kernel_selection \
    derivative callbacks whitening models cross_backend
study := test_worker_makes_the_run_of_this_process
compat: compat-oldest compat-nightly
compat-oldest compat-nightly: export PYTEST = \
    $(parts:%=tests/test_%.py) tests/test_runner.py::$(study)
# With plain optimizers too, programs from JAX 0.5.3's cache on disk leave some of the
# arrays unchanged that they are given to write to.
compat-oldest: export JAX_ENABLE_COMPILATION_CACHE = false
compat-oldest:
	@$(MAKE) --no-print-directory suite venv=.venv-oldest constraints=constraints-oldest.txt
compat-nightly:
	@$(MAKE) --no-print-directory suite venv=.venv-nightly environment=nightly

# The pages of docs/ as a site, in site/. (The search works where it is served, as with
# `.venv/bin/mkdocs serve`, and not from the disk.)
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(venv)/docs.stamp
	$(bin)/mkdocs build --strict --quiet

# The wheel and the sdist, each with one backend alone in an environment of its own, in
# which the quickstart trains.
dist: $(venv)/dist.stamp
	rm -rf dist
	$(bin)/python -m build --outdir dist
	@for package in dist/*.whl dist/*.tar.gz; do \
	    for backend in $(BACKENDS); do \
	        printf '\n== %s with %s alone\n' $$package $$backend; \
	        rm -rf .venv-dist && $(PYTHON) -m venv .venv-dist && \
	        .venv-dist/bin/python $(install) "$$package[$$backend]" scikit-learn && \
	        KERAS_BACKEND=$$backend TF_CPP_MIN_LOG_LEVEL=2 \
	            .venv-dist/bin/python examples/quickstart.py || exit 1; \
	    done; \
	done
	rm -rf .venv-dist

clean:
	rm -rf .venv .venv-oldest .venv-nightly .venv-dist build dist site \
	    .hypothesis .jax_cache .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(venv)/bin/python:
	$(PYTHON) -m venv $(venv)

$(venv)/demo.stamp: pyproject.toml $(constraints) | $(venv)/bin/python
	$(pip) --editable '.[study,$(DEMO_BACKEND)]'
	@touch $@

$(venv)/dev.stamp: pyproject.toml $(constraints) | $(venv)/bin/python
	$(pip) --editable '.[dev]'
	@touch $@

# The wheel of keras-nightly brings the module of the wheel of keras, and takes its place.
$(venv)/nightly.stamp: constraints-nightly.txt $(venv)/dev.stamp
	$(bin)/python -m pip uninstall --quiet --yes keras keras-nightly
	$(bin)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    --requirement constraints-nightly.txt
	@touch $@

$(venv)/dist.stamp: $(constraints) | $(venv)/bin/python
	$(pip) build
	@touch $@

$(venv)/docs.stamp: pyproject.toml $(constraints) | $(venv)/bin/python
	$(pip) --editable '.[docs]'
	@touch $@
