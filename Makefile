# `make demo` and `make test` set up by themselves; PYTHON=python3.12 chooses an interpreter.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready
NEEDED_GB := 9

.PHONY: setup demo test test-kill test-damage lint clean

setup: $(READY)

$(READY): pyproject.toml requirements.lock
	@fail() { echo "set-up failed: $$1" >&2; exit 1; }; \
	"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null \
	  || fail "Python 3.11 or 3.12 is needed; install one, or name it: make setup PYTHON=python3.11"; \
	free=$$(df -Pk . | awk 'NR == 2 {print int($$4 / 1048576)}'); \
	[ -d $(VENV)/lib ] || [ "$$free" -ge $(NEEDED_GB) ] \
	  || fail "$(NEEDED_GB) GB of disk are needed here, $$free GB are free"; \
	said=$$("$(PYTHON)" -m venv $(VENV) 2>&1) \
	  || fail "python cannot make $(VENV) ($$(tail -1 <<<"$$said")); make room there, or on Debian or Ubuntu: apt install python3-venv"; \
	echo "installing into $(VENV) (a few minutes; log: $(VENV)/setup.log)"; \
	export UV_PYTHON=$(VENV)/bin/python $${PIP_INDEX_URL:+UV_DEFAULT_INDEX="$$PIP_INDEX_URL"}; \
	$(VENV)/bin/python -m pip install --disable-pip-version-check -c requirements.lock uv >$(VENV)/setup.log 2>&1 \
	  && $(VENV)/bin/uv pip install -r requirements.lock >>$(VENV)/setup.log 2>&1 \
	  && $(VENV)/bin/uv pip install --no-deps -e . >>$(VENV)/setup.log 2>&1 \
	  || { if grep -qi 'no space left' $(VENV)/setup.log; then fail "the disk is full"; \
	       elif grep -qiE 'connection|resolve|timed out|network|from versions: none' $(VENV)/setup.log; then \
	         fail "the package index cannot be reached; check the network or pip's index settings"; \
	       else fail "$$(grep -i error $(VENV)/setup.log | tail -1) (see $(VENV)/setup.log)"; fi; }
	@touch $@

demo: $(READY)
	@HF_HUB_OFFLINE=1 $(VENV)/bin/musicbench demo

test: $(READY)
	@HF_HUB_OFFLINE=1 $(VENV)/bin/python -m pytest -n 2 --dist loadscope

test-kill: $(READY)
	@HF_HUB_OFFLINE=1 $(VENV)/bin/python -m pytest -m kill

test-damage: $(READY)
	@HF_HUB_OFFLINE=1 $(VENV)/bin/python -m pytest -m damage

lint: $(READY)
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

clean:
	rm -rf $(VENV)
