# The two commands: `make book` builds the site, `make test` proves it.
# Both make .venv from the pinned lock first; nothing else is needed than Python 3.11 and git.
#
# On Linux the package index's torch brings gigabytes of CUDA. `make test TORCH=cpu` takes
# PyTorch's CPU build instead.

PYTHON ?= python3.11
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
SITE   := _build/html
JUPYTER_BOOK := $(BIN)/jupyter-book build . -W -n --keep-going -q

ifeq ($(TORCH),cpu)
TORCH_INDEX := --extra-index-url https://download.pytorch.org/whl/cpu
endif

PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock

.PHONY: help book test test-fast test-notebooks test-site execute serve bench lock lock-grading grading wheel clean test-strict

help:  ## say what each target does
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 16

# ---- environments -----------------------------------------------------------------------

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "expected Python 3.11 as '$(PYTHON)'; name yours: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.site: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) -e '.[site]'
	@touch $@

$(VENV)/.all: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) $(TORCH_INDEX) torch
	$(PIP) $(TORCH_INDEX) -e '.[notebooks,site,test]'
	@touch $@ $(VENV)/.site

# nbgrader and its notebook server stay out of .venv; `course practical` uses both.
GRADING := .venv-grading

grading: $(VENV)/.all $(GRADING)/.done  ## make the environment that grades practical sessions

$(GRADING)/.done: requirements-grading.lock | $(BIN)/python
	$(PYTHON) -m venv $(GRADING)
	$(GRADING)/bin/python -m pip install -q --disable-pip-version-check -r requirements-grading.lock
	@touch $@

# ---- the site ---------------------------------------------------------------------------

book: $(VENV)/.site  ## build the site from the stored outputs; nothing is executed
	@$(JUPYTER_BOOK)
	@echo "The site is at $(CURDIR)/$(SITE)/index.html"

serve: book  ## build the site and serve it on http://127.0.0.1:8000
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(SITE) 8000

# ---- the proof --------------------------------------------------------------------------

test: test-fast test-notebooks test-site  ## unit tests, sync check, every notebook, site checks

test-fast: $(VENV)/.all grading  ## unit tests, sync check and claims ledger, without notebooks or site
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests --doctest-modules course_utils -n $(JOBS) \
	  --dist loadfile --ignore tests/browser --ignore tests/test_site.py --ignore tests/test_standalone.py
	$(BIN)/course sync --check
	$(BIN)/course lint
	$(BIN)/course claims --check

test-notebooks: $(VENV)/.all  ## execute every stored notebook, JOBS at a time with one thread each
	printf '%s\n' notebooks/*.ipynb | OMP_NUM_THREADS=1 xargs -n 1 -P $(JOBS) \
	  $(BIN)/python -m pytest --nbval-lax --nbval-current-env \
	  --nbval-cell-timeout 600 --nbval-sanitize-with tests/nbval.cfg
	$(BIN)/python -m pytest tests/test_standalone.py

test-strict: $(VENV)/.all  ## the same, comparing every output (on the machine that wrote them)
	$(BIN)/python -m pytest notebooks --nbval --nbval-current-env \
	  --nbval-cell-timeout 600 --nbval-sanitize-with tests/nbval.cfg

test-site: $(VENV)/.all book  ## links, anchors, alt texts, equation numbers; in a browser if there is one
	$(BIN)/python -m pytest tests/test_site.py tests/browser -rs -n $(JOBS) --dist loadfile

# ---- for authors ------------------------------------------------------------------------

execute: $(VENV)/.all  ## run every notebook again and store its outputs
	$(BIN)/course sync --force

bench: $(VENV)/.all  ## compare with other programs, and run the long experiments: hours
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

wheel: $(VENV)/.all  ## build the wheel of course_utils into dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

lock: $(VENV)/.all  ## write the installed versions to requirements.lock
	@{ sed -n '/^#/p' requirements.lock; \
	   $(BIN)/python -m pip freeze --all --exclude-editable \
	   | grep -v '^pip==' | sed 's/+cpu$$//' | sort -f; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

lock-grading: $(GRADING)/.done  ## write the installed versions to requirements-grading.lock
	@{ sed -n '/^#/p' requirements-grading.lock; \
	   $(GRADING)/bin/python -m pip freeze --all | grep -v '^pip==' | sort -f; } > requirements-grading.lock.new
	@mv requirements-grading.lock.new requirements-grading.lock

clean:  ## remove what was built (the environment and the data cache stay)
	rm -rf _build build dist *.egg-info .pytest_cache
