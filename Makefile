# `make run` shows the whole service, `make test` tests it; see README.md.

.PHONY: run quick test test-devstack test-browser thorough mutants check chaos bench lock format clean
.DEFAULT_GOAL := run

ifeq ($(OS),Windows_NT)
$(error On Windows this runs inside WSL: https://learn.microsoft.com/windows/wsl/install)
endif

SUPPORTED := import sys; sys.exit(sys.version_info[:2] < (3, 11))
TESTED := import sys; sys.exit(sys.version_info[:2] > (3, 14))
# The first of these that is there and of a version we support.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $$python && break; done)

LOCK := .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-annotate --custom-compile-command "make lock"

run: .venv/installed
	@exec .venv/bin/python -m devstack.stack

# The rules, through fakes, and everything else that needs no process: seconds. One process, since
# each more would take longer to begin than it saves.
quick: .venv/installed
	.venv/bin/python -m pytest -n 0 tests/rules tests/test_architecture.py

# Everything that a change has to pass and that two minutes have room for.
test: .venv/installed
	.venv/bin/python -m pytest -m "not thorough" --ignore tests/service/test_openapi.py \
	  tests/service tests/sql tests/rules tests/test_architecture.py

# The stand-ins against the originals: PostgREST, supabase-py, supabase-js.
test-devstack: .venv/installed
	.venv/bin/python -m pytest tests/devstack

# The page, the client and the documentation's snippets, in Chromium and in Node.
test-browser: .venv/installed
	.venv/bin/python -m pytest -m "not thorough" tests/browser

# Many cases of one thing: hostile photos, the API against its own document, a generated client,
# secrets in logs and Redis, slow uploads; what kills the local PostgreSQL, a Redis that fails over,
# and the image.
thorough: .venv/installed
	.venv/bin/python -m pytest -m thorough tests/service tests/browser/test_pictures.py

# Change the code, and then the SQL, in one place at a time: a test has to notice.
mutants: .venv/installed
	.venv/bin/python tests/mutate_code.py
	.venv/bin/python tests/mutate_sql.py

check: .venv/installed
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# Break everything at random for CHAOS_SECONDS (300), then check the accounts.
chaos: .venv/installed
	.venv/bin/python -m devstack.chaos

bench: .venv/installed
	.venv/bin/python -m devstack.bench

# Newer versions of what our requirements need in turn, and the hashes of all.
lock: .venv/installed
	@$(LOCK) requirements.in -o requirements.txt
	@$(LOCK) requirements-dev.in -c requirements.txt -o requirements-dev.txt

format: .venv/installed
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clean:
	rm -rf .venv .local

.venv/installed: requirements-dev.txt
	@if ! "$(PYTHON)" -c '$(SUPPORTED)' >/dev/null 2>&1; then \
	  echo "Python 3.11 or newer is needed; found: $$($(or $(PYTHON),python3) --version 2>&1)." >&2; exit 1; fi
	@"$(PYTHON)" -c '$(TESTED)' || \
	  echo "$$($(PYTHON) --version) is newer than what was tested (3.11 to 3.14); trying it." >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing into .venv (once) ..."
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check \
	  --require-hashes -r requirements-dev.txt
	@touch $@
