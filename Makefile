# Two commands: `make run` measures the quick suite and prints its report, `make test` runs the tests.
# Both set up .venv when it is missing or older than what it was made from.

PYTHON ?= python3
BIN := .venv/bin
EXTRAS ?= all
STAMP := .venv/.stamp-$(EXTRAS)

.PHONY: setup run test check lint clean

run: $(STAMP)
	$(BIN)/polybench run suites/quick.yaml
	$(BIN)/polybench report

test: export PYTHONDONTWRITEBYTECODE =  # each of the many processes would compile polybench anew
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: lint
	$(BIN)/python -m pytest -n 0 tests/test_layers.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $(STAMP)

setup: $(STAMP)

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
