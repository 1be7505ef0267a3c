# `make` alone lists what there is. Needs Python 3.11 or newer and GNU make 3.81 or newer; makes .venv by itself.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check bench format pins browser screenshots clean

# The first that works; another one: make run PYTHON=/path/to/python3.11
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$name; break; fi; done)
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# ONNX Runtime otherwise reports home about what it runs.
export ORT_DISABLE_TELEMETRY := 1

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf 'make %-12s %s\n' "$$name" "$$text"; done

run: $(VENV)/.compiled ## Prepare what is missing, then start the service (HOST, PORT: where)
	@$(PY) -m models pull u2net
	@exec $(PY) app.py

test: $(VENV)/.installed-dev $(VENV)/.compiled browser ## Run all tests, with real weights (ARGS: further arguments of pytest)
	@$(PY) -m models pull u2netp u2net
	$(PY) -m pytest --numprocesses 2 --dist loadfile $(ARGS)

check: $(VENV)/.installed-dev ## Lint, formatting, types, layers, documents, deployment files
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest --quiet tests/test_layers.py tests/test_deploy.py $(wildcard tests/test_docs.py)
	$(VENV)/bin/hadolint Dockerfile

bench: $(VENV)/.compiled ## Measure speed beside rembg and the model alone (ARGS=--quick: minutes, not an hour)
	@$(PY) -m models pull u2netp u2net
	$(PY) -m bench.side_by_side $(ARGS)

format: $(VENV)/.installed-dev ## Put the code into its one format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

pins: $(VENV)/.installed-dev ## Pin the newest versions that requirements*.in allow
	for name in requirements requirements-dev bench/rembg_server; do \
		CUSTOM_COMPILE_COMMAND='make pins' $(PY) -m piptools compile --quiet --upgrade --strip-extras \
			--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file $$name.txt $$name.in || exit; \
	done

browser: ## Install Chromium where it can be had; without it the tests of the pages are skipped
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		echo "Installing Chromium, for the tests of the pages, once." && \
		apt-get -qq update && apt-get -qq install --no-install-recommends chromium >/dev/null; } || \
		echo "Chromium is not installed: the tests of the pages are skipped. On Debian: apt-get install chromium"

screenshots: $(VENV)/.installed-dev $(VENV)/.compiled browser ## Take pictures of the pages in every state, screen and theme, into out/screenshots and README
	@$(PY) -m models pull u2net
	$(PY) -m tests.page.screenshots

clean: ## Remove .venv and what tools left (never queue.db and data/)
	rm -rf $(VENV) .bench .mypy_cache .pytest_cache .ruff_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found." \
		"Install it, or say where it is: make run PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not Python 3.11" \
		"or newer. Say where a newer one is: make run PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) could not make a virtual environment." \
		"On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# Stamps in .venv: what is older than its requirements is done again, all else is not even looked at.
$(VENV)/.installed: requirements.txt | $(PY)
	@echo "Installing what the service needs (240 MB), once."
	@$(PY) -m pip install --quiet --requirement requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(PY) -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

# The first import compiles numba code: better now than under the first user.
$(VENV)/.compiled: $(VENV)/.installed
	@echo "Compiling, about a minute, once."
	@$(PY) -c "import rembg, models.resample"
	@touch $@
