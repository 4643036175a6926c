# Two commands: `make quickstart` and `make test`. Both make .venv and install pinned versions first.

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= quickstart
# One process a core, one thread each: threads that spin on a shared core are slower than none.
TEST_ENV := OMP_NUM_THREADS=1
FUZZ_SEED := $(or $(SEED),$(shell date +%s))
# The first Python on the PATH that has wheels for MXNet's numpy: 3.9 to 3.12. PYTHON=... overrides.
FITS := -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] < (3, 13))'
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.10 python3.9 python; do \
	$$p $(FITS) 2>/dev/null && echo $$p && break; done)

help:
	@echo 'make quickstart   install into .venv and run the whole chain on the built-in data set (OUT=folder)'
	@echo 'make test         install into .venv and run the tests'
	@echo 'make test-slow    the long tests as well'
	@echo 'make fuzz         the tests of properties on random examples (SEED=number draws those of that run)'
	@echo 'make lint         ruff and mypy'
	@echo 'make clean        remove .venv and what the tools left'

$(STAMP): pyproject.toml setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo 'gluon-mtcnn needs Python 3.9, 3.10, 3.11 or 3.12: none found on the PATH' >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=23' -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cpu,cluster,mat,onnx,tensorboard,dev]' -c constraints.txt
	@touch $@

install: $(STAMP)

quickstart: $(STAMP)
	$(BIN)/gluon-mtcnn quickstart --out $(OUT)

test: $(STAMP)
	$(TEST_ENV) $(BIN)/python -m pytest -q -n auto -m 'not slow'

test-slow: $(STAMP)
	$(TEST_ENV) $(BIN)/python -m pytest -q -n auto

# A failing example is printed: keep it as an @example of its test.
fuzz: $(STAMP)
	@echo 'seed $(FUZZ_SEED): make fuzz SEED=$(FUZZ_SEED) draws the same'
	$(TEST_ENV) $(BIN)/python -m pytest -q -n auto -m hypothesis --hypothesis-profile=fuzz --hypothesis-seed=$(FUZZ_SEED)

# mypy wants the package as it is imported: a farm of links under build/ gives it that.
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf build/typecheck && mkdir -p build/typecheck/gluon_mtcnn
	@ln -s $(CURDIR)/gluon_mtcnn/*.py build/typecheck/gluon_mtcnn/
	@for folder in core prepare_data tools model; do ln -s $(CURDIR)/$$folder build/typecheck/gluon_mtcnn/$$folder; done
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help install quickstart test test-slow fuzz lint clean
