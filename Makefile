# openmm_unisim: build, demo, tests, lint, benchmarks. `make help` lists the commands.
#
# Every command first makes .venv from the pinned requirements and builds the OpenMM plugin, each only when absent or
# out of date. Variables that can be given on the command line:
#   TORCH_INDEX=URL   package index to take torch from when .venv is made. Unless pip already finds a CPU build, plain
#                     torch is a CUDA build of several GB; the CPU build is at https://download.pytorch.org/whl/cpu
#   PYTHON=NAME       the Python 3.11 to make .venv with (python3.11)
#   NAME=...          the shipped model that `make weights` rebuilds
#   PYTEST_ARGS=...   more arguments for `make test`, e.g. PYTEST_ARGS="tests/plugin -x"
#   PYTEST_WORKERS=2  processes that `make test` runs tests in; 0 is this one alone

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3.11
TORCH_INDEX ?=
PYTEST_ARGS ?=
PYTEST_WORKERS ?= 2
NAME ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
REQUIREMENTS_STAMP := $(VENV)/.requirements-installed
BUILD_STAMP := build/.plugin-built
PLUGIN_SOURCES := setup.py pyproject.toml CMakeLists.txt $(shell find plugin -type f -not -name '*.md')
CPP_SOURCES = $(shell find plugin tests tools -name '*.h' -o -name '*.cpp' -o -name '*.cu')
DEMO_OUTPUT := demo-output

# A platform is named so that a machine with an OpenCL driver runs the same code path; one thread is the fastest for
# networks of this size.
export OPENMM_DEFAULT_PLATFORM ?= Reference
export OMP_NUM_THREADS ?= 1

.PHONY: help prerequisites venv build demo test test-slow lint format bench weights known-name clean distclean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

prerequisites: ## check that g++, make and python3.11 with venv and headers are here
	@tools/check_prerequisites.sh $(PYTHON)

$(REQUIREMENTS_STAMP): requirements.txt requirements-data.txt requirements-dev.txt | prerequisites
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) install --no-deps --index-url $(TORCH_INDEX) "$$(grep '^torch==' requirements.txt)")
	$(PIP) install -r requirements-dev.txt
	touch $@

$(BUILD_STAMP): $(REQUIREMENTS_STAMP) $(PLUGIN_SOURCES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --no-build-isolation --no-deps -e .
	mkdir -p $(@D) && touch $@

venv: $(REQUIREMENTS_STAMP) ## make .venv from the pinned requirements

build: $(BUILD_STAMP) ## compile the plugin and install the package, editable, into .venv

demo: build ## simulate alanine dipeptide with the shipped model; report in demo-output/
	rm -rf $(DEMO_OUTPUT)
	$(BIN)/openmm-unisim simulate ACE-ALA-NME --model ala2 --environment obc2 --jumps 2000 --seed 1 --output $(DEMO_OUTPUT)
	$(BIN)/python tools/print_headline.py $(DEMO_OUTPUT)

test: build ## run the tests (those marked slow excepted)
	$(BIN)/python -m pytest -m "not slow" -n $(PYTEST_WORKERS) --dist loadgroup $(PYTEST_ARGS)

test-slow: build ## run the statistical and physical checks that take minutes each
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

lint: venv ## check style and types of Python and C++, and rules that code can check
	@status=0; check() { echo "$$*" | cut -c 1-100; "$$@" || status=1; }; \
	check $(BIN)/ruff check .; \
	check $(BIN)/ruff format --check .; \
	check $(BIN)/mypy; \
	check $(BIN)/clang-format --dry-run -Werror $(CPP_SOURCES); \
	exit $$status

format: venv ## rewrite Python and C++ in the project's style
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP_SOURCES)

bench: build ## run the benchmarks that need no arguments; results in benchmarks/results/
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

weights: known-name build ## rebuild shipped weights from nothing, NAME=ala2 (hours); goes on where it was stopped
	PATH="$(CURDIR)/$(BIN):$$PATH" openmm_unisim/pretrained/$(NAME)/rebuild.sh

known-name:
	@test -f "openmm_unisim/pretrained/$(NAME)/rebuild.sh" || \
	{ echo "give NAME=, one of:" $$(ls openmm_unisim/pretrained/*/rebuild.sh | cut -d/ -f3); exit 2; }

clean: ## remove what the build and the tools wrote; .venv and runs/ stay
	rm -rf build dist *.egg-info openmm_unisim/lib openmm_unisim/_unisim*.so openmm_unisim/_swig.py $(DEMO_OUTPUT)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove .venv
	rm -rf $(VENV)
