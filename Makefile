# run, test, test-cluster, check, proofs, docs: each installs what it needs into .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: run test test-cluster check proofs docs format clean

run: $(INSTALLED)  ## search DenseNets on the bundled images and write a report
	$(BIN)/dnsearch run

test: $(INSTALLED)  ## every test that needs no server, a process for every core
	$(BIN)/pytest --numprocesses logical --dist worksteal -m 'not cluster'

test-cluster: $(INSTALLED)  ## those with servers of their own, which are skipped where there are none
	$(BIN)/pytest -m cluster tests/cluster

check: $(INSTALLED)  ## style, types, and the one way imports go
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

proofs: $(INSTALLED)  ## what docs/reliability.md promises, in hours; results in reports/reliability
	for each in signals kills machines disks mutations fuzz surroundings; do \
		$(BIN)/python studies/reliability/$$each.py || exit 1; done

docs: $(INSTALLED)  ## docs/commands.md, and the README's picture and figures from its example run
	$(BIN)/pip install --quiet --constraint constraints.txt kaleido
	$(BIN)/python studies/make_docs.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

# torch comes first and by its pin, for which pip takes a CPU build where it is told of one; else it
# is the CUDA build, of gigabytes. torchvision, only a reference for tests, goes with that version.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps torchvision
	touch $@
