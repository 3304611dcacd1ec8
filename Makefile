# Every target works in a virtual environment of its own, .venv, which the first one makes.
#
#   make demo        train LeNet-5 on handwritten digits, compile it, compare the two
#   make test        style, types, tests; installs programs that tests need by apt, where it can
#   make lint        style and types alone
#   make test-slow   the tests that take minutes
#   make bench       the measurements in benchmarks/ that need no data; the others say which they take
#   make bench-cpu   compiled networks against every other engine on this CPU: half an hour
#   make bench-studies   papers' claims measured again, into docs/studies/; DATA=FOLDER: on its images
#   make clean       remove what the others wrote; `rm -rf .venv` removes the environment too
#
# torch and torchvision are installed together, in one call: their releases belong together. Another
# pair:    make demo TORCH="torch==2.9.1 torchvision==0.24.1"
# Another Python, 3.11 or newer:    make demo PYTHON=python3.13

PYTHON ?= python3
TORCH_x86_64 = torch==2.14.1 torchvision==0.29.1
TORCH_aarch64 = torch==2.9.1 torchvision==0.24.1
TORCH ?= $(or $(TORCH_$(shell uname -m)),torch torchvision)

# How many processes test; each may use two cores for a moment:    make test WORKERS=8
WORKERS ?= 2

BIN = .venv/bin
INSTALLED = .venv/.installed
PIP = $(BIN)/python -m pip --disable-pip-version-check
CODE = $(wildcard src tests benchmarks examples)

.PHONY: help demo test test-slow programs bench bench-cpu bench-studies lint clean

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

demo: $(INSTALLED)
	$(BIN)/python examples/digits.py demo

test: lint programs
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

# Other machines, browsers and build tools, which some tests need: installed where they are missing,
# the system is Debian's and nobody has to be asked for a password. Without one, its tests say so
# and are skipped.
programs:
	@missing=; \
	for pair in chromium:chromium cmake:cmake node:nodejs qemu-aarch64:qemu-user; do \
	    command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	test -e /usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1 || missing="$$missing libc6-arm64-cross"; \
	test -n "$$missing" || exit 0; \
	test "$$(id -u)" = 0 && root= || root="sudo -n"; \
	export DEBIAN_FRONTEND=noninteractive; \
	echo "installing for the tests:$$missing"; \
	{ command -v apt-get && $$root true && $$root apt-get -qq update && \
	  $$root apt-get -qq install -y --no-install-recommends $$missing; } >/dev/null 2>&1 || \
	    echo "cannot be installed here; tests that need them are skipped"

test-slow: $(INSTALLED) programs
	$(BIN)/python -m pytest -m slow

bench: $(INSTALLED)
	@for script in benchmarks/digits.py benchmarks/footprint.py benchmarks/resume.py; do \
	    echo "$$script" >&2; $(BIN)/python $$script || exit 1; \
	done

bench-cpu: $(INSTALLED)
	$(PIP) install --quiet --editable ".[all,bench]"
	$(BIN)/python benchmarks/cpu.py --threads 1 2 > benchmarks/results/cpu.jsonl
	$(BIN)/python benchmarks/cpu.py table benchmarks/results/cpu.jsonl

bench-studies: $(INSTALLED)
	$(BIN)/python benchmarks/studies.py $(if $(DATA),--data "$(DATA)")

lint: $(INSTALLED)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

# The stamp is written last, so that an installation that was cut is taken up again.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "convforge needs Python 3.11 or newer, and $(PYTHON) is not; name another: make PYTHON=python3.13"; \
	    exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) lacks its venv module; install it (Debian and Ubuntu: apt install python3-venv)"; \
	    exit 1; }
	@echo "installing into .venv: some minutes and, with torch, some gigabytes"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet --editable ".[all]"
	@touch $@

clean:
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
