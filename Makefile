# `make` lists the targets. Everything a target needs is set up by the target itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help dev demo test e2e check format bench up down clean

VENV := .venv
PY := $(VENV)/bin/python
# The first interpreter that is new enough; PYTHON=… overrides.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
ARGS ?=
# Tests with real programs can miss a deadline on a machine that others load: what failed runs once
# more, alone. One that fails again fails the target; one that passes now is still worth a look.
AGAIN = { status=$$?; [ $$status -eq 1 ] || exit $$status; \
	echo "some tests failed; they run once more, alone" >&2; \
	$(PY) -m pytest --last-failed --last-failed-no-failures none $(1); }

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make demo ONCE=1 JSON=out.json   prove it and stop      make demo NODE=1          real kubelet (root, Linux)"
	@echo "  make demo CONTEXT=name           an existing cluster    make bench NAME=path      one benchmark"
	@echo "  make test ARGS=tests/unit        a part of the tests"

$(VENV)/.installed: requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "kube-sluice needs Python 3.11 or newer: install it, or name one with PYTHON=/path/to/python3" >&2; exit 3; }
	@echo "setting up $(VENV) with $(PYTHON) (about a minute, once)" >&2
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: on Debian, apt-get install python3-venv" >&2; exit 3; }
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

dev: $(VENV)/.installed ## set up the virtual environment

demo: dev ## the main job on a real cluster made for it; ONCE=1 JSON=file NODE=1 CONTEXT=name
	@$(PY) -m sandbox.demo $(if $(ONCE),--once) $(if $(JSON),--json $(JSON)) $(if $(NODE),--node) $(if $(CONTEXT),--context $(CONTEXT)) $(ARGS)

test: dev ## the whole suite but what needs root (unit, property, contract, integration, chart, docs)
	@$(PY) -m sandbox build
	@$(PY) -m pytest $(ARGS) || $(call AGAIN,$(ARGS))

e2e: dev ## what needs root on Linux: a real node, the chart on it, the image and Compose on a real Docker engine
	@$(PY) -m sandbox.requirements
	@$(PY) -m sandbox build --node
	@$(PY) -m pytest -m e2e tests/e2e $(ARGS) || $(call AGAIN,-m e2e tests/e2e $(ARGS))

check: dev ## format, lint, types, layers, wheel contents, docs, changelog
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@rm -rf build/wheel && $(PY) -m build --wheel --no-isolation --outdir build/wheel . >/dev/null
	@$(VENV)/bin/check-wheel-contents build/wheel
	@$(PY) -m pytest -q tests/test_docs.py tests/test_docs_site.py tests/test_packaging.py

format: dev ## rewrite the code as the formatter wants it
	@$(VENV)/bin/ruff format --quiet .
	@$(VENV)/bin/ruff check --quiet --fix .

bench: dev ## benchmarks, ratios against a baseline in the same run; NAME=path JSON=file
	@$(PY) -m tests.bench $(if $(NAME),--name $(NAME)) $(if $(JSON),--json $(JSON)) $(ARGS)

up: ## build the images, start the stack with Docker Compose and wait for it; PROFILE=cluster
	@[ -f run/redis-password ] || { install -d -m 700 run && openssl rand -hex 24 > run/redis-password && chmod 644 run/redis-password; }
	$(if $(PROFILE),COMPOSE_PROFILES=$(PROFILE)) docker compose up --build --detach --wait

down: ## stop the local stack and remove its volumes
	docker compose --profile '*' down --volumes

clean: ## remove what the targets made in this folder
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
