# make demo   installs into .venv and tunes a real classifier
# make test   installs what the tests need and runs the fast ones; under scripts/with_postgres
#             also those that need PostgreSQL
# make check  formatting, lint, strict types, import floors
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := demo test check bench

.PHONY: demo test test-all check bench clean

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv .venv

# One stamp an extra: an install happens once, and again when what is asked for changes.
$(EXTRAS:%=.venv/installed-%): .venv/installed-%: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@

demo: .venv/installed-demo
	$(BIN)/python examples/tune_classifier.py

test: .venv/installed-test
	$(BIN)/python -m pytest -n 2 -q

test-all: .venv/installed-test .venv/installed-bench
	scripts/with_postgres $(BIN)/python -m pytest -n 2 -q -m 'slow or not slow'

check: .venv/installed-check .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-bench
	$(BIN)/python -m benchmarks --quick

clean:
	rm -rf .venv
