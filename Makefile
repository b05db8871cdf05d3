# `make help` lists the targets. ARGS="key=value ..." passes Hydra overrides to a stage.
COMPETITION ?= statoil
ARGS ?=
SWEEP ?= learning_rate
PYTHON ?= python3.11
BIN := .venv/bin
FOLDWISE := $(BIN)/foldwise
SAY = competition=$(COMPETITION) $(ARGS)
DEMO_statoil = source.n_train=600 source.n_test=300
DEMO_passenger_screening = source.n_train=60 source.n_test=20
MODELS_passenger_screening = multi_view model.options.fusion=concat,attention
MODELS_statoil = logistic_regression,mlp,small_cnn
MODELS = $(or $(MODELS_$(COMPETITION)),$(MODELS_statoil))
TENSORFLOW := $(shell sed -n 's/^tensorflow-cpu\(==[0-9.]*\).*/\1/p' requirements.txt)

.DEFAULT_GOAL := help
.PHONY: help setup lock demo test oracle lint download simulate prepare train score ensemble grade submit report sweep bench clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  with COMPETITION=statoil|passenger_screening|digit_recognizer|digits_8x8|faces and ARGS="key=value ..."'

ifdef GPU
.PHONY: .venv/ready
endif
setup: .venv/ready ## install everything into .venv (GPU=1: the CUDA build of TensorFlow)

.venv/ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: no $(PYTHON) here; say make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip sync --quiet --system-certs --python $(BIN)/python requirements.lock
	$(if $(GPU),$(BIN)/uv pip uninstall --quiet --python $(BIN)/python tensorflow-cpu && $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python 'tensorflow[and-cuda]$(TENSORFLOW)')
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --editable .
	@touch $@

lock: ## resolve requirements.txt and the tools of development into requirements.lock
	$(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --no-header requirements.txt --group pyproject.toml:dev --output-file requirements.lock

demo: setup ## from raw files to a graded submission: several models, five folds
	$(FOLDWISE) simulate $(SAY) $(DEMO_$(COMPETITION))
	$(FOLDWISE) prepare $(SAY) $(DEMO_$(COMPETITION))
	$(FOLDWISE) train -m model=$(MODELS) $(SAY) $(DEMO_$(COMPETITION))
	$(FOLDWISE) ensemble $(SAY) $(DEMO_$(COMPETITION))
	$(FOLDWISE) grade $(SAY) $(DEMO_$(COMPETITION))

test: setup lint ## run every test
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal $(ARGS)

oracle: setup ## install PyTorch and timm, against which converted networks are tested
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps timm==1.0.31

lint: setup ## check style and types
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

download: setup ## fetch the competition's files from Kaggle
	$(FOLDWISE) download $(SAY)
simulate: setup ## write the raw files of a simulated or embedded source
	$(FOLDWISE) simulate $(SAY)
prepare: setup ## turn raw files into arrays and tables
	$(FOLDWISE) prepare $(SAY)
train: setup ## train the folds that are not finished
	$(FOLDWISE) train $(SAY)
score: setup ## show the out-of-fold log loss of every run
	$(FOLDWISE) score $(SAY)
ensemble: setup ## blend runs into a checked submission
	$(FOLDWISE) ensemble $(SAY)
grade: setup ## score a submission where the truth is known
	$(FOLDWISE) grade $(SAY)
submit: setup ## send a submission to Kaggle (ARGS=dry_run=true: all but send)
	$(FOLDWISE) submit $(SAY)
report: setup ## write the HTML report
	$(FOLDWISE) report $(SAY)
sweep: setup ## train every combination of conf/sweep/$(SWEEP).yaml
	$(FOLDWISE) train -m sweep=$(SWEEP) $(SAY)
bench: setup ## measure foldwise against what a user would use instead
	$(BIN)/python -m benchmarks $(ARGS)
clean: ## remove caches; data, runs and submissions stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build src/*.egg-info
