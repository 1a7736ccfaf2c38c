# Needs Python 3.11 or later (with venv), git and make; everything else is
# installed into $(VENV). See README.md.

VENV ?= .venv
# A module is compiled when it is first imported: most never are. An environment
# that forbids it, as some images do, would compile 10 s at each start.
export PYTHONDONTWRITEBYTECODE =
PIP = $(VENV)/bin/python -m pip install --quiet --no-compile
# A file stays with one worker: its fixtures and compiled programs serve all of it.
PYTEST = $(VENV)/bin/python -m pytest --dist loadfile --no-loadscope-reorder \
  --durations=20

# The first interpreter that starts, is new enough and can make environments.
USABLE = import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; \
  do if $$name -c '$(USABLE)' >/dev/null 2>&1; then echo $$name; break; fi; \
  done)

# A package lists its modules in the reference, but for those with an __all__.
# Annotations of inherited fields stay text there, which pdoc warns of.
DOCUMENTED = $(subst /,.,$(patsubst %/__init__.py,%, \
  $(wildcard dlfd_jax/*/__init__.py)) $(basename $(wildcard \
  dlfd_jax/[!_]*.py dlfd_jax/methods/[!_]*.py dlfd_jax/models/[!_]*.py)))

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test test-slow test-long lint docs clean

help:
	@echo 'make demo       train, unlearn, evaluate and report on drawn faces'
	@echo 'make test       the tests, without the slow ones'
	@echo 'make test-slow  the slow tests'
	@echo 'make test-long  what takes too long for every change'
	@echo 'make lint       ruff and mypy'
	@echo 'make docs       the reference of all functions, in build/api'
	@echo 'make clean      remove $(VENV), caches and build files'

$(VENV)/bin/python:
	@test -n '$(PYTHON)' || { echo 'Expected Python 3.11 or later with its \
	venv module on the PATH, found none: install one, or name it with \
	make PYTHON=/path/to/python3.' >&2; exit 1; }
	@echo 'Installing into $(VENV) with $(PYTHON); this takes a few minutes.'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(PIP) -e .
	@touch $@

$(VENV)/.test: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(PIP) -e '.[test]'
	@touch $(VENV)/.core $@

demo: $(VENV)/.core
	$(VENV)/bin/dlfd demo --workdir=runs/demo

test: $(VENV)/.test
	$(PYTEST) -n 2 -m 'not slow and not long'

# One worker more than cores: they often wait for a process.
test-slow: $(VENV)/.test
	$(PYTEST) -n 3 -m 'slow and not long'

test-long: $(VENV)/.test
	$(PYTEST) -n 2 -m long

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

docs: $(VENV)/.core
	$(PIP) -e '.[docs]'
	$(VENV)/bin/python -W 'ignore:Error parsing type annotation' -m pdoc \
	  --docformat google -o build/api dlfd_jax $(DOCUMENTED)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
