# `make help` lists the targets. ARGS="key=value ..." passes settings to a stage.
COMPETITION ?= statoil
ARGS ?=
TRAIN ?=
SWEEP ?= learning_rate
PYTHON ?= $(or $(firstword $(foreach minor,11 12 13,$(shell python3.$(minor) -c 'print("python3.$(minor)")' 2>/dev/null))),python3.11)
BIN := .venv/bin
FOLDWISE := $(BIN)/foldwise
WORDS = competition=$(COMPETITION) $(ARGS)
DEMO_statoil = source.n_train=600 source.n_test=300
DEMO_passenger_screening = source.n_train=60 source.n_test=20
DEMO_END = $(if $(DEMO_$(COMPETITION))$(filter digit_recognizer digits_8x8 faces,$(COMPETITION))$(wildcard data/raw/$(COMPETITION)/solution.csv),grade,score)
DEMO = competition=$(COMPETITION) $(DEMO_$(COMPETITION)) $(ARGS)
MODELS_passenger_screening = multi_view model.options.fusion=concat,attention
MODELS_statoil = logistic_regression,mlp,small_cnn
MODELS = $(or $(MODELS_$(COMPETITION)),$(MODELS_statoil))
TENSORFLOW := $(shell sed -n 's/^tensorflow-cpu\(==[0-9.]*\).*/\1/p' requirements.txt)
JAX := $(shell sed -n 's/^jax\(==[0-9.]*\).*/\1/p' requirements.lock)
TORCH := torch==2.13.0
BUILD = $(or $(BUILD_$(GPU)),$(error GPU=$(GPU): expected 1 (JAX), tensorflow or torch))
BUILD_1 = 'jax[cuda12]$(JAX)'
BUILD_jax = $(BUILD_1)
BUILD_tensorflow = 'tensorflow[and-cuda]$(TENSORFLOW)'
BUILD_torch = $(TORCH)
COMPILE = $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)  # else each process would compile TensorFlow anew

# a mistyped variable would be ignored, and the wrong competition trained
VARIABLES := COMPETITION ARGS TRAIN SWEEP MODELS PYTHON GPU BIN SHELL
UNKNOWN := $(strip $(foreach name,$(filter-out $(VARIABLES) MAKE% -*,$(.VARIABLES)),$(if $(filter command,$(origin $(name))),$(name))))
ifneq ($(UNKNOWN),)
NAME := $(firstword $(UNKNOWN))
GOAL := $(or $(firstword $(MAKECMDGOALS)),train)
UPPER := $(shell printf %s '$(NAME)' | tr a-z A-Z)
# a variable in small letters, a setting that belongs into ARGS or TRAIN, or a name that is spelt alike
NEAREST = import difflib, sys; near = difflib.get_close_matches(sys.argv[1], sys.argv[2:], 1, 0.5); print(*near)
LIKE := $(or $(filter $(UPPER),$(VARIABLES)),$(if $(filter $(UPPER),$(NAME)),$(shell $(PYTHON) -c '$(NEAREST)' '$(NAME)' $(VARIABLES) 2>/dev/null)))
INTO := $(if $(filter demo,$(GOAL)),$(if $(filter source% root% competition% experiment%,$(NAME)),ARGS,TRAIN),ARGS)
SETTING := $(if $(filter $(UPPER),$(NAME)),,settings are words in one variable: make $(GOAL) $(INTO)="$(NAME)=$($(NAME))".)
HINT := $(if $(LIKE),did you mean $(LIKE)?,$(SETTING))
$(error $(NAME)=$($(NAME)): make has no such variable; $(if $(HINT),$(HINT) Its,its) variables are $(filter-out BIN SHELL,$(VARIABLES)))
endif

.DEFAULT_GOAL := help
.PHONY: help setup lock demo check test chaos malformed oracle audit browser pictures lint download simulate prepare train score ensemble grade report preview predict bundle submit submissions doctor verify sweep tune bench notebooks lab clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  COMPETITION=statoil|passenger_screening|digit_recognizer|digits_8x8|faces  chooses the competition'
	@echo '                         or is one of your own: conf/competition/NAME.yaml with source: kaggle, files in data/raw/NAME'
	@echo '  ARGS="key=value ..."   settings for the stage; with demo, for every stage (source.seed=1 root=PATH)'
	@echo '  TRAIN="key=value ..."  settings for the training of demo alone (fit.epochs=2)'
	@echo '  MODELS=mlp,small_cnn   the models of demo'
	@echo '  PYTHON=python3.12      the Python that setup uses: 3.11, 3.12 or 3.13; by default the first of them'

ifdef GPU
.PHONY: .venv/ready
endif
setup: .venv/ready ## install everything into .venv (GPU=1: JAX for CUDA too; GPU=tensorflow: its CUDA build)

.venv/ready: requirements.lock pyproject.toml setup.py
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is not one; run make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip sync --quiet --system-certs --require-hashes $(COMPILE) --python $(BIN)/python requirements.lock
	$(if $(filter tensorflow,$(GPU)),$(BIN)/uv pip uninstall --quiet --python $(BIN)/python tensorflow-cpu)
	$(if $(GPU),$(BIN)/uv pip install --quiet --system-certs $(COMPILE) --python $(BIN)/python $(BUILD))
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --editable .
	@touch $@

lock: ## resolve requirements.txt and the tools of development into requirements.lock
	$(BIN)/uv pip compile --quiet --system-certs --universal --generate-hashes --python-version 3.11 --no-header requirements.txt --group pyproject.toml:dev --output-file requirements.lock

demo: export FOLDWISE_NEXT = off
demo: setup ## from raw files to a graded submission and a report: several models, five folds
	$(FOLDWISE) simulate $(DEMO)
	$(FOLDWISE) prepare $(DEMO)
	$(FOLDWISE) train -m model=$(MODELS) $(DEMO) $(TRAIN)
	$(FOLDWISE) ensemble $(DEMO)
	$(FOLDWISE) $(DEMO_END) $(DEMO)
	$(FOLDWISE) report $(DEMO)

check: setup lint ## check style and types, and run the tests that train nothing
	$(BIN)/python -m pytest -m 'not slow and not trains' --numprocesses=auto --maxprocesses=4 --dist=worksteal $(ARGS)

test: setup lint ## run every test
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal $(ARGS)

chaos: setup ## kill, starve and race commands at every moment, and compare what they end in (ARGS=--quick: a part)
	$(BIN)/python tests/chaos $(ARGS)

malformed: setup ## read hundreds of malformed files, and print what each ends with
	$(BIN)/python tests/malformed $(ARGS)

oracle: setup ## install PyTorch and timm, against which converted networks are tested
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps timm==1.0.31

audit: setup ## look up known vulnerabilities of everything in requirements.lock
	$(BIN)/uv tool run --quiet --system-certs --python $(BIN)/python pip-audit==2.10.1 --disable-pip --require-hashes -r requirements.lock

browser: setup ## install Playwright and axe, with which the report is tested in Chromium where that is installed
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --group browser

pictures: browser ## make the pictures of the README from a finished demo, in Chromium
	$(BIN)/python docs/pictures/make.py

lint: setup ## check style and types
	$(BIN)/ruff check src tests benchmarks docs notebooks setup.py
	$(BIN)/ruff format --check src tests benchmarks docs notebooks setup.py
	$(BIN)/mypy

download: setup ## fetch the competition's files from Kaggle
	$(FOLDWISE) download $(WORDS)
simulate: setup ## write the raw files of a simulated or embedded source
	$(FOLDWISE) simulate $(WORDS)
prepare: setup ## turn raw files into arrays and tables
	$(FOLDWISE) prepare $(WORDS)
train: setup ## train the folds that are not finished
	$(FOLDWISE) train $(WORDS)
score: setup ## show the out-of-fold score of every run
	$(FOLDWISE) score $(WORDS)
ensemble: setup ## blend runs into a checked submission
	$(FOLDWISE) ensemble $(WORDS)
grade: setup ## score a submission where the true labels are known
	$(FOLDWISE) grade $(WORDS)
report: setup ## write a page of all runs and blends that opens in a browser
	$(FOLDWISE) report $(WORDS)
preview: setup ## write a contact sheet of an augmentation (ARGS="augment=radar")
	$(FOLDWISE) preview $(WORDS)
predict: setup ## answer new data with a finished blend (ARGS="images=FOLDER")
	$(FOLDWISE) predict $(WORDS)
bundle: setup ## pack a finished blend for prediction without network (ARGS=push=true: send it to Kaggle)
	$(FOLDWISE) bundle $(WORDS)
submit: setup ## send a submission to Kaggle (ARGS=dry_run=true: all but send)
	$(FOLDWISE) submit $(WORDS)
submissions: setup ## compare nested scores with those on Kaggle
	$(FOLDWISE) submissions $(WORDS)
doctor: setup ## check the machine, the credentials and the way into the competition
	$(FOLDWISE) doctor $(WORDS)
verify: setup ## compare prepared data, runs and submissions with their checksums
	$(FOLDWISE) verify $(WORDS)
sweep: setup ## train every combination of conf/sweep/$(SWEEP).yaml
	$(FOLDWISE) train -m sweep=$(SWEEP) $(WORDS)
tune: setup ## search for a good recipe (ARGS="model=small_cnn fit.learning_rate=1e-3,3e-3 trials=20")
	$(FOLDWISE) tune $(WORDS)
bench: setup ## measure foldwise against what a user would use instead
	$(BIN)/python -m benchmarks $(ARGS)
notebooks: setup ## execute every notebook in place, and store its outputs (ARGS=01_what_learning_means: one)
	$(BIN)/python notebooks/execute.py $(ARGS)
lab: setup ## open the notebooks in JupyterLab, which is installed first
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python jupyterlab==4.6.6
	$(BIN)/jupyter lab notebooks

clean: ## remove caches; data, runs and submissions stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist src/*.egg-info
