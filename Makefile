# Front door of tinyvirat-build. All set-up happens in .venv and its sisters (.venv-clients,
# .venv-docs, .venv-minimums); nothing else is touched.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV   := .venv
CLIENTS := .venv-clients
SITE   := .venv-docs
MINIMUMS := .venv-minimums
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
OUT    ?= demo
DATA   ?=

.PHONY: help setup setup-train clients demo baseline-demo test test-slow test-minimums mutants \
  lint types format bench gpu-check splits docs site clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.base: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tinyvirat-build needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) -e '.[train,export,dev]'
	@touch $@

$(VENV)/.train: $(VENV)/.base
	$(PIP) -e '.[train]'
	@touch $@

setup: $(VENV)/.dev  ## make .venv with everything for development

setup-train: $(VENV)/.train

$(CLIENTS)/.done: tests/clients/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -r $<
	@touch $@

clients: $(CLIENTS)/.done  ## make .venv-clients with the libraries that read what is exported

demo: $(VENV)/.base  ## build and verify a dataset from a small corpus that the project renders
	$(BIN)/tinyvirat-build all --source demo --out $(OUT)
	$(BIN)/tinyvirat-build verify --out $(OUT)
	@echo "The dataset is in $(OUT)/TinyVIRAT_V2, its report is $(OUT)/report.html"

baseline-demo: $(VENV)/.train  ## train and score a small network on the demo corpus
	$(BIN)/tinyvirat-build all --source demo --out $(OUT) --quiet
	$(BIN)/tinyvirat-build train --preset demo --build $(OUT) --out $(OUT)-run
	$(BIN)/tinyvirat-build evaluate --run $(OUT)-run

# A file of tests is one worker's; conftest.py puts the longest first. Many wait for processes or
# times, so that there is one worker more than processors.
WORKERS = -n $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev  ## run the tests (COVERAGE=1 prints what they cover, and takes longer)
	$(BIN)/python -m pytest -m "not slow" $(WORKERS) $(if $(COVERAGE),--cov)
	$(if $(COVERAGE),$(BIN)/python tests/covered.py)

test-slow: $(VENV)/.dev  ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow $(WORKERS) --timeout 3600

$(MINIMUMS)/.done: setup.cfg constraints-minimums.txt
	$(PYTHON) -m venv $(MINIMUMS)
	$(MINIMUMS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-minimums.txt \
	  . pytest hypothesis pytest-timeout pytest-xdist psutil
	@touch $@

# Old versions warn of what newer ones of others have in store; that is theirs.
test-minimums: $(MINIMUMS)/.done  ## run tests of the builder with the lowest versions that it allows
	PYTHONPATH=$(CURDIR) $(MINIMUMS)/bin/python -m pytest -m "not slow" $(WORKERS) \
	  -W ignore::DeprecationWarning -W ignore::FutureWarning -p no:cacheprovider $(MINIMUM_TESTS)

MINIMUM_TESTS := $(addprefix tests/,audit formats pack released settings sources stages store video)

mutants: $(VENV)/.dev  ## change stages and numbering: what no test notices (an hour or two; MUTANTS='*.filter.*': some)
	$(PIP) mutmut
	HYPOTHESIS_PROFILE=mutants $(BIN)/mutmut run $(MUTANTS)
	$(BIN)/mutmut results

lint: $(VENV)/.dev  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy

format: $(VENV)/.dev  ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Those that need nothing; the others (bench/*.py) say what they are to be given.
BENCHES := audit bounds codecs cut lengths load parse plan train

bench: $(VENV)/.dev  ## the benchmarks, each against its peers in one run
	for script in $(BENCHES:%=bench/%.py); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

gpu-check: $(VENV)/.dev  ## what only a GPU can tell: tests, loader and runner on it
	$(BIN)/python bench/gpu_check.py

splits: $(VENV)/.base  ## regenerate the committed split lists (DATA=DIR counts a corpus anew first)
	$(BIN)/python -m tinyvirat_build.sources.splits $(if $(DATA),--data $(DATA))

docs: $(VENV)/.dev  ## regenerate the parts of docs/ that come from the code
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/drawings.py

$(SITE)/.done: docs/requirements.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -r $<
	@touch $@

site: $(SITE)/.done  ## the documentation as a site, in site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict --quiet

clean:  ## remove the environment and everything built here
	rm -rf $(VENV) $(CLIENTS) $(SITE) $(MINIMUMS) site mutants build dist *.egg-info demo demo-run .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +
