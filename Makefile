# Two commands: `make run` measures the quick suite and prints its report, `make test` runs the tests.
# Both set up .venv when it is missing or older than what it was made from.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp

.PHONY: run test check clean

run: $(STAMP)
	$(BIN)/polybench run suites/quick.yaml
	$(BIN)/polybench report

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 0 tests/test_layers.py

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	touch $(STAMP)

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
