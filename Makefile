# Every target works in a virtual environment of its own, .venv, which the first one makes.
#
#   make demo        train LeNet-5 on handwritten digits, compile it, compare the two
#   make test        style, types, tests
#   make test-slow   the tests that take minutes
#   make bench       the measurements in benchmarks/
#
# torch and torchvision are installed together, in one call: their releases belong together. Another
# pair, or wheels from elsewhere:  make demo TORCH="torch==2.9.1 torchvision==0.24.1"

PYTHON ?= python3
TORCH_x86_64 = torch==2.14.1 torchvision==0.29.1
TORCH_aarch64 = torch==2.9.1 torchvision==0.24.1
TORCH ?= $(or $(TORCH_$(shell uname -m)),torch torchvision)

BIN = .venv/bin
INSTALLED = .venv/.installed
CODE = src tests benchmarks examples

.PHONY: demo test test-slow bench lint clean

demo: $(INSTALLED)
	$(BIN)/python examples/digits.py

test: lint
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

bench: $(INSTALLED)
	@for script in benchmarks/*.py; do echo "# $$script"; $(BIN)/python $$script || exit 1; done

lint: $(INSTALLED)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "convforge needs Python 3.11 or newer with its venv module (Debian: apt install python3-venv)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable ".[all]"
	touch $@

clean:
	rm -rf .venv build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
