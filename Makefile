# Each target sets up what it needs in .venv and then runs. A second call finds the stamp and starts at once.
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench package clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    train a tiny model on this machine and write $(OUT)/report.html"
	@echo "make test    lint, strict type check, and every test"
	@echo "make lint    lint and type check only"
	@echo "make bench   measure speed; results go to benchmarks/results, the page to docs/benchmarks.md"
	@echo "make package build wheel and sdist into dist/, and try the wheel's demo in an empty environment"
	@echo "make clean   remove .venv and caches; runs/ stays"

demo: $(VENV)/.installed-demo
	$(BIN)/pixelword demo --out $(OUT)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done
	$(BIN)/python benchmarks/page.py

# The wheel from the checkout and the one from the sdist are the same bytes; then the wheel alone has to do.
package: $(VENV)/.installed-dev
	rm -rf dist build/package
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python -m pip wheel --no-deps --wheel-dir build/package dist/*.tar.gz
	cmp dist/*.whl build/package/*.whl
	away=$$(mktemp -d) && cp constraints.txt dist/*.whl $$away && $(BIN)/python -m venv $$away/venv && cd $$away && \
		set -- *.whl && venv/bin/python -m pip install -c constraints.txt "./$$1[demo]" && \
		venv/bin/pixelword demo --fast --out demo && rm -rf $$away

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install -c constraints.txt -e ".[$*]"
	@touch $@

# The first of these that is Python 3.11 or newer. `make PYTHON=/path/to/python3.12 test` chooses another.
$(BIN)/pip:
	@for python in "$(PYTHON)" python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "$$python -m venv $(VENV)"; exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "pixelword needs Python 3.11 or newer" >&2; \
	echo "  got: $$($(PYTHON) --version 2>&1 || true)" >&2; \
	echo "  fix: install it, or name it: make PYTHON=/path/to/python3.12 test" >&2; \
	exit 1
