# Everything runs in .venv, made on first use and kept: a stamp in it says what is installed there,
# and a change of pyproject.toml installs again. Only make and Python >= 3.11 need to be there, and for
# the tests a C++ compiler.

PYTHON ?= python3
VENV ?= .venv
VENV_OLDEST ?= .venv-oldest
WORKERS ?= auto
CUDA ?= 12
TORCH ?= torch
DATA ?=
PAGE ?= cpu
ARGS ?=
MINUTES ?= 10
SEED ?= 0

IN_VENV := $(VENV)/bin/python
PYTEST := -m pytest
# BLAS and OpenMP get one thread in each worker: the workers have the cores already, and thread
# pools that spin against each other on the same cores are many times slower.
PARALLEL := -n $(WORKERS) --dist worksteal
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
INSTALL := -m pip install --quiet --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: help demo test test-fast test-oldest test-gpu fuzz lint format bench torch clean distclean

help:
	@echo "make demo         run the demo; DATA=folder for data files of your own"
	@echo "make test         lint, then all tests, with the coverage of branches"
	@echo "make test-fast    the tests that are not slow"
	@echo "make test-oldest  all tests with the oldest supported dependencies"
	@echo "make test-gpu     the tests that need a GPU; CUDA=13 for CUDA 13"
	@echo "make fuzz         random configurations and inputs; MINUTES=10 SEED=0"
	@echo "make lint         check style and types; make format repairs what can be repaired"
	@echo "make bench        the CPU benchmark; PAGE=fit, ... another; ARGS=... are passed on"
	@echo "make torch        add PyTorch to .venv, for the tests and benchmarks beside it"
	@echo "make clean        remove caches and builds; make distclean the environments too"
	@echo "PYTHON=python3.12 VENV=.venv-312 chooses an interpreter and its environment."

demo: $(VENV)/.installed-demo
	$(IN_VENV) examples/demo.py $(if $(DATA),--data "$(DATA)")

test: lint
	$(ONE_THREAD) $(IN_VENV) $(PYTEST) $(PARALLEL) --cov

test-fast: $(VENV)/.installed-dev
	$(ONE_THREAD) $(IN_VENV) $(PYTEST) $(PARALLEL) -m "not slow"

test-oldest: $(VENV_OLDEST)/.installed-dev
	$(ONE_THREAD) $(VENV_OLDEST)/bin/python $(PYTEST) $(PARALLEL)

test-gpu: $(VENV)/.installed-cuda$(CUDA)
	SKNN_REQUIRE_GPU=1 $(IN_VENV) $(PYTEST) -m gpu

fuzz: $(VENV)/.installed-dev
	$(ONE_THREAD) $(IN_VENV) -m tests.fuzz --minutes $(MINUTES) --seed $(SEED)

lint: $(VENV)/.installed-dev
	$(IN_VENV) -m ruff check
	$(IN_VENV) -m ruff format --check
	$(IN_VENV) -m mypy

# What cannot be repaired is left for lint to report.
format: $(VENV)/.installed-dev
	$(IN_VENV) -m ruff check --fix --exit-zero --quiet
	$(IN_VENV) -m ruff format
	$(IN_VENV) -m tests.backend.stamps
	$(IN_VENV) -m tests.support.operations_page

bench: $(VENV)/.installed-dev
	$(IN_VENV) -m benchmarks $(PAGE) $(ARGS)

torch: $(VENV)/.installed-dev
	$(IN_VENV) $(INSTALL) --timeout 15 --retries 1 --only-binary :all: "$(TORCH)"

clean:
	rm -rf build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path "./.venv*" -prune -exec rm -rf {} +

distclean: clean
	rm -rf "$(VENV)" "$(VENV_OLDEST)"

$(VENV)/.installed-demo: pyproject.toml | $(IN_VENV)
	$(IN_VENV) $(INSTALL) --editable ".[demo]"
	@touch $@

# What tests need includes what the demo needs.
$(VENV)/.installed-dev: pyproject.toml | $(IN_VENV)
	$(IN_VENV) $(INSTALL) --editable ".[dev]"
	@touch $@ $(VENV)/.installed-demo

$(VENV)/.installed-cuda%: $(VENV)/.installed-dev
	$(IN_VENV) $(INSTALL) --editable ".[gpu-cuda$*]"
	@touch $@

$(VENV_OLDEST)/.installed-dev: pyproject.toml requirements/oldest.txt | $(VENV_OLDEST)/bin/python
	$(VENV_OLDEST)/bin/python $(INSTALL) --constraint requirements/oldest.txt --editable ".[dev]"
	@touch $@

# A half-made environment is removed, or the next run would take it for a whole one.
%/bin/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || { \
		found=$$($(PYTHON) --version 2>&1) || found="not there"; \
		echo "sknn needs Python 3.11 or newer, but $(PYTHON) is $$found." \
			"Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $* || { rm -rf $*; exit 1; }
