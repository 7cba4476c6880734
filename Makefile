# Two commands: `make run` opens the dashboard, `make test` checks everything. Each works on a bare clone.
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin

.PHONY: run test browser others gpu bench lint clean

run: .venv/installed
	$(BIN)/latents run --port $(PORT)

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tests/browser/find_chromium.py || true
	$(BIN)/latents model prepare
	@echo "The tests in a browser run beside types and all other tests."
	@$(MAKE) --no-print-directory -j2 browser others

browser:
	$(BIN)/python -m pytest tests/browser

others:
	$(BIN)/pyright
	$(BIN)/python -m pytest --ignore=tests/browser

gpu: .venv/installed-test
	$(BIN)/python -m pytest tests/gpu

bench: .venv/installed-test
	$(BIN)/python -m tests.bench

lint: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build *.egg-info

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) was found. Install it, or set PYTHON=."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@
