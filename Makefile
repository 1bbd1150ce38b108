# Everything sets itself up first; a second run takes seconds. `make help` lists what there is.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
ENV    := . $(VENV)/ros_env.sh
PYTEST := python -m pytest -p no:cacheprovider
LINT   := ruff check . && mypy eo_nodes sim/eo_sim tools

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint unit system test-training train-env bench evaluate gallery \
        trace study clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22

setup:  ## virtual environment, ROS 2 wheels, messages
	@$(PYTHON) tools/set_up.py --venv $(VENV)

demo: setup  ## fly the demo; report in build/demo/report.html
	@$(ENV) && spaceverse demo

test: setup  ## lint and all tests but those of training
	@$(ENV) && status=0; ($(LINT)) || status=1; \
	    $(PYTEST) -m 'not training' $(ARGS) || status=1; exit $$status

lint: setup  ## ruff and mypy
	@$(ENV) && $(LINT)

unit: setup  ## only the quick tests
	@$(ENV) && $(PYTEST) -m 'not training' test/unit test/property $(ARGS)

system: setup  ## only the tests that start processes
	@$(ENV) && $(PYTEST) -m 'not training' test/system $(ARGS)

train-env:
	@$(PYTHON) tools/set_up.py --training --venv .venv-train

test-training: setup train-env  ## what needs torch, in an environment of its own
	@PYTHONPATH=.:sim .venv-train/bin/python -m pytest -p no:cacheprovider test/training $(ARGS)

bench: setup  ## measure, and print each figure beside its limit
	@$(ENV) && python -m bench $(ARGS)

evaluate: setup  ## DATA=DIR: score the models on held-out data, all of it; ARGS=--as-cards: a draw
	@test -n "$(DATA)" || { echo "make evaluate DATA=DIR: the data folder, see training/README.md"; \
	    exit 2; }
	@$(ENV) && python -m training.evaluation --data "$(DATA)" $(ARGS)

gallery: setup  ## every mechanism on pictures of this repository: docs/gallery.md
	@$(ENV) && python -m training.gallery $(ARGS)

trace: setup  ## DATA=DIR: record what the study replays; hours, goes on where it was stopped
	@test -n "$(DATA)" || { echo "make trace DATA=DIR: the data folder, see training/README.md"; \
	    exit 2; }
	@$(ENV) && python -m eo_sim.study.collect --data "$(DATA)" $(ARGS)

study: setup  ## replay all policies from the recorded trace; build/study/table.md
	@$(ENV) && python -m eo_sim.study $(ARGS)

clean:  ## remove everything that was built, environments included
	rm -rf build install log .venv .venv-train .mypy_cache .ruff_cache .hypothesis .coverage
