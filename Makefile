# Needs python3 (3.11 or newer), make and a network. Everything else is put into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TORCH   = $(shell grep '^torch==' constraints.txt)

.PHONY: help demo serve test test-clients check bench web web-shots clean
help:
	@echo "make demo             read a text of 128K tokens and find what is hidden in it (TOKENS=1M, ARGS=...)"
	@echo "make serve            an OpenAI-compatible server on port 8000 (ARGS=...)"
	@echo "make test             every test (ARGS=... goes to pytest)"
	@echo "make test-clients     other people's clients against the server, in .venv-clients"
	@echo "make check            lint, format, types, without changing a file"
	@echo "make bench            speed and memory, written to benchmarks/results/local (ARGS=...)"
	@echo "make web              the page of the server, built anew from web/ (needs Node 20 and npm)"
	@echo "make web-shots        pictures of that page for the documentation"
	@echo "make clean            remove the environments and every cache"

# One environment in two layers: .base runs longreach and its server, .dev adds what tests and recipes need.
$(VENV)/.base: pyproject.toml constraints.txt
	@echo "setting up $(VENV) (once; torch alone is some 200 MB)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(TORCH) hatchling editables
	@$(PIP) --no-build-isolation -e '.[serve,chat,documents]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@$(PIP) --no-build-isolation -e '.[dev]'
	@touch $@

demo: $(VENV)/.base
	$(BIN)/longreach demo $(if $(TOKENS),--tokens $(TOKENS)) $(ARGS)

serve: $(VENV)/.base
	$(BIN)/longreach serve $(ARGS)

# A worker per processor, one torch thread each: faster than two threads per test on two cores.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist worksteal $(ARGS)

# Clients pin versions of their own, so they live in an environment of their own.
.venv-clients/.ready: tests-clients/requirements.txt
	@test -x .venv-clients/bin/python || $(PYTHON) -m venv .venv-clients
	@.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

test-clients: $(VENV)/.base .venv-clients/.ready
	.venv-clients/bin/python -m pytest tests-clients -c /dev/null --rootdir tests-clients $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/longreach bench $(ARGS)

web:
	cd web && npm ci && npm run build

web-shots: $(VENV)/.dev
	$(BIN)/python tests/serve/web/screenshots.py

clean:
	rm -rf web/node_modules $(VENV) .venv-clients .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
