# Every target makes the virtual environment it needs; the second time that costs nothing.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DECODERS := $(VENV)/.decoders
# The networks here are tiny: one thread each is faster than two that wait for one another.
export OMP_NUM_THREADS ?= 1
# A process that may not keep what it compiled compiles this package anew, as each of a hundred in the tests would.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-unit test-slow lint format benchmark benchmark-methods benchmark-speed benchmark-gpu benchmark-responses benchmark-verify benchmark-worklist benchmark-monitor benchmark-scale bundles docs figures clean

demo: $(READY)
	$(BIN)/clinical-qkt demo --overwrite $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

# Rooms whose tests need no demo, train little and start few processes: no bundle, command, transfer, report or page.
UNIT := core data evidence networks packages privacy statistics tasks
test-unit: $(READY)
	$(BIN)/python -m pytest $(UNIT:%=tests/%) --ignore tests/data/test_identifiers.py $(ARGS)

test-slow: $(DECODERS)
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Query recall and forgetting over seeds. DATA=file.npz measures on real images.
benchmark: $(READY)
	$(BIN)/python -m clinical_qkt.research.benchmark.main_job $(if $(DATA),--data $(DATA)) $(ARGS)

# Methods against each other. CONFIG=file.yaml, DATA=file.npz.
CONFIG ?= configs/benchmarks/quick.yaml
benchmark-methods: $(READY)
	$(BIN)/clinical-qkt benchmark $(CONFIG) $(if $(DATA),--data $(DATA)) $(ARGS)

# Ratios on a processor: each stage against the bare work at three sizes, and what begins and ends a transfer;
# then what a transfer costs against plain fine-tuning and a naive loop. PIXELS=28,224 chooses sizes.
benchmark-speed: $(READY)
	$(BIN)/python -m clinical_qkt.research.benchmark.stage_speed $(if $(PIXELS),--pixels $(PIXELS))
	$(BIN)/python -m clinical_qkt.research.benchmark.speed $(ARGS)

# Images a second on the device at hand: trainings against a bare loop and MONAI's trainer, and all else.
benchmark-gpu: $(READY)
	$(BIN)/python -m clinical_qkt.research.benchmark.gpu $(ARGS)

# What a private answer's pass over images costs: one at a time, patient by patient, in several processes.
benchmark-responses: $(READY)
	$(BIN)/python -m clinical_qkt.research.benchmark.response_speed $(ARGS)

# What checking and loading a package costs beside reading its files.
benchmark-verify: $(READY)
	$(BIN)/python -m clinical_qkt.research.benchmark.verify $(ARGS)

# Peak memory and images a second of each stage, with so many generated images and with twice as many.
benchmark-scale: $(READY)
	$(BIN)/python -m clinical_qkt.research.benchmark.scale $(ARGS)

# Drifted weeks that `monitor` finds, and quiet ones in which it alarms. DATA=file.npz, OTHER=another laboratory.
benchmark-monitor: $(READY)
	$(BIN)/python -m clinical_qkt.research.benchmark.monitoring --data $(DATA) --other $(OTHER) $(ARGS)

# Labels that a list to label needs, and what its intervals cover. DATA=file.npz.
benchmark-worklist: $(READY)
	$(BIN)/python -m clinical_qkt.research.benchmark.worklist --data $(DATA) $(ARGS)

# The documentation as a site, for a browser: site/index.html. Reads and fetches nothing from anywhere else.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

# What all bundles have in common, copied from bundles/blood_cell_classification into the others.
bundles: $(READY)
	$(BIN)/python -m clinical_qkt.documentation.bundles

# What README and docs show of a demo and tell of the code, made anew.
figures: $(READY)
	test -f runs/demo/summary.json || $(BIN)/clinical-qkt demo
	$(BIN)/python -m clinical_qkt.documentation.example runs/demo
	$(BIN)/python -m clinical_qkt.documentation.reference
	$(BIN)/python -m clinical_qkt.documentation.audit_figures
	$(BIN)/python -m clinical_qkt.documentation.comparison_pages
	$(BIN)/python -m tests.mlflow_ui runs/demo docs/pictures/mlflow-run.png

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not on the PATH. Install Python 3.11, or name another: make PYTHON=python3 …"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

# Other decoders and real files, which the slow tests compare ours with, and NVIDIA FLARE, whose processes they start.
$(DECODERS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,codecs,decoders,export,federation]"
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
