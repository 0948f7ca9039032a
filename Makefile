# Every target works from a clean clone; `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help run serve test check oracle bench schemas docs clean

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	command -v $(name) >/dev/null && \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
SOCKET ?= /tmp/qmpd.sock
EXAMPLES ?= 2000
ARGS ?=

help: ## explain the targets
	@echo "usage: make TARGET"
	@echo
	@sed -n 's/^\([a-z]*\):.* ## \(.*\)/  \1\t\2/p' Makefile | expand -t 12
	@echo
	@echo "variables: PYTHON (3.11 or newer), SOCKET (of serve; $(SOCKET)), EXAMPLES (of oracle;"
	@echo "           $(EXAMPLES) a test), ARGS (more arguments for the program that a target starts)"

run: $(VENV)/run.stamp ## play the crash report that qmpd was made for; ends by itself
	@$(BIN)/python -m qmpd.demo $(ARGS)

serve: $(VENV)/run.stamp ## leave the same daemon listening on SOCKET; Ctrl-C ends it
	@$(BIN)/python -m qmpd.demo --serve $(SOCKET) $(ARGS)

test: $(VENV)/dev.stamp ## run all tests; those against the real QEMU if it is installed
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: $(VENV)/dev.stamp ## lint, formatting, types, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

oracle: $(VENV)/dev.stamp ## compare with the real QEMU: new random seeds, EXAMPLES a test
	QMPD_REQUIRE_ORACLE=1 QMPD_ORACLE_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest \
		--hypothesis-profile=oracle tests/oracle tests/protocol tests/qcow2 tests/schema $(ARGS)

bench: $(VENV)/dev.stamp ## measure start-up, round trips and events
	@$(BIN)/python -m tests.bench $(ARGS)

schemas: $(VENV)/dev.stamp ## write schemas/ and the compiled contract from the models
	$(BIN)/python -m qmpd.schema

docs: $(VENV)/dev.stamp ## write docs/reference/ from the models and the state tables
	$(BIN)/python -m qmpd.docgen

clean: ## remove everything that was made here, .venv too
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An import hook instead of a plain path would double the time that Python takes to start, and so
# would sources without their bytecode, which some environments forbid to be written on import.
PLAIN_PATH := --config-settings editable_mode=compat
COMPILE := $(BIN)/python -m compileall -q qmpd

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary

$(VENV)/run.stamp: $(VENV)/python.stamp pyproject.toml
	@echo "installing qmpd into $(VENV), once"
	@$(PIP_INSTALL) -e . $(PLAIN_PATH)
	@$(COMPILE)
	@touch $@

$(VENV)/dev.stamp: $(VENV)/python.stamp pyproject.toml
	@echo "installing qmpd and its tools into $(VENV), once"
	@$(PIP_INSTALL) -e '.[test,check]' $(PLAIN_PATH)
	@$(COMPILE)
	@touch $@ $(VENV)/run.stamp

$(VENV)/python.stamp:
	@test -n "$(PYTHON)" && command -v "$(PYTHON)" >/dev/null && \
		"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "qmpd needs Python 3.11 or newer; give it as PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "qmpd needs Python's venv and ensurepip (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)
	@touch $@
