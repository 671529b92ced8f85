# make demo   train, separate and score on real music (the excerpt that comes with musdb), a few minutes
# make test   the fast tests
# Both set everything up on their first call.
PY := $(abspath .venv/bin/python)
RECIPE ?= musdb18hq
DEMO_FLAGS ?=
VOICES ?= $(abspath ../shared/data/LibriSpeech)

.PHONY: help setup test test-slow test-all demo demo-short bench clean

help:
	@sed -n 's/^# make /make /p' Makefile

setup:
	@tools/setup.sh

test: setup
	$(PY) -m pytest -q -n 2 -m "not slow"

test-slow: setup
	$(PY) -m pytest -q -n 2 -m slow

test-all: test test-slow

demo: setup
	cd recipes/$(RECIPE) && ./run.sh --stage 0 --demo true --python_path $(PY) $(DEMO_FLAGS)

demo-short: setup
	cd recipes/musdb18hq && ./run.sh --stage 0 --demo true --tag demo_short --python_path $(PY)
	cd recipes/libri2mix && ./run.sh --stage 0 --demo true --tag demo_short --python_path $(PY)
	cd recipes/wsj0-2mix && ./run.sh --stage 0 --demo true --tag demo_short --python_path $(PY)
	@if [ -d "$(VOICES)" ]; then \
	  cd recipes/libri2mix && ./run.sh --stage 0 --demo real --tag demo_real_short --librispeech_root "$(VOICES)" --python_path $(PY); \
	else echo "no voices at $(VOICES) (VOICES=...): the demonstration on real voices is left out"; fi

bench: setup
	$(PY) -m benchmarks

clean:
	rm -rf build dist *.egg-info recipes/*/exp/*demo*
