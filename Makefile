PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: env peers run test lint clean

env: .venv/.installed ## the environment with the `pocketformer` command

.venv/.installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

peers: env ## the runtimes that `bench --against` and benchmarks/ compare with: a gigabyte, needed by nothing else
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements.txt

run: env ## broker, store, workers and web page, in the foreground
	exec $(BIN)/pocketformer serve $(if $(PORT),--port $(PORT))

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## everything that proves it works
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -m alone

clean:
	rm -rf .venv build dist *.egg-info
