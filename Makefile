# `make demo` and `make test` are all that a newcomer needs: Python 3.11 or later, make, and pip's package index.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := dev
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python3.14 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed
LABELLED ?= ../shared/data

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types unit chaos browser slow fuzz audit bench docs clean

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

install: $(INSTALLED)  ## .venv with the exact versions of requirements.lock

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later found. Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into $(VENV) with $(PYTHON): once, some minutes, 3 GB (more where pip's torch is a CUDA build)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c requirements.lock torch==2.13.0
	$(PIP) install --quiet -c requirements.lock -e ".[$(EXTRAS)]"
	@touch $@

demo: $(INSTALLED)  ## the whole stream once, on sample articles
	@$(BIN)/stillhouse demo $(ARGS)

test: lint types unit  ## everything that must hold before a commit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED)
	$(BIN)/stillhouse weights
	$(BIN)/pytest -m "not (chaos or browser or slow)"

slow: $(INSTALLED)  ## tests that take minutes
	$(BIN)/pytest -m slow

chaos: $(INSTALLED)  ## workers killed at random, for long
	$(BIN)/pytest -m chaos

browser: $(INSTALLED)  ## the board in Chromium
	$(PIP) install --quiet -c requirements.lock -e ".[dev,browser]"
	$(BIN)/pytest -m browser

fuzz: $(INSTALLED)  ## atheris over the decoders, FUZZ_SECONDS each
	$(PIP) install --quiet -c requirements.lock -e ".[dev,fuzz]"
	$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),60)

audit: $(INSTALLED)  ## known vulnerabilities of the locked versions, and a bill of materials in dist/
	$(PIP) install --quiet -c requirements.lock -e ".[dev,audit]"
	$(BIN)/python -m tests.audit

bench: $(INSTALLED)  ## the benchmarks that docs/engines.md quotes, one after the other
	$(BIN)/stillhouse weights
	$(BIN)/stillhouse bench overhead
	$(BIN)/stillhouse bench engine --count 32 --typical 16 --repeats 2
	$(BIN)/stillhouse bench stream --count 320 --repeats 2 --check-gates
	$(BIN)/stillhouse bench batch --count 3600 --typical 24 --no-check-gates
	@if [ -f $(LABELLED)/lenses_labels.jsonl ]; then set -x; $(BIN)/stillhouse bench quality --count 400 --data $(LABELLED); \
	else echo "bench quality is left out: no labelled articles in $(LABELLED) (make bench LABELLED=DIR)"; fi

docs: $(INSTALLED)  ## generated pages: JSON Schemas and AsyncAPI in docs/
	$(BIN)/stillhouse docs

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
