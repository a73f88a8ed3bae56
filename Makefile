# `make demo` and `make test` do all the set-up on a fresh machine. Everything is installed into .venv, unless an
# environment of yours is active and has this project and what the target needs: then that one is used as it is.

.PHONY: help demo test bench clean

help:
	@echo "make demo   train, export and score rendered dives in a few minutes, without a GPU"
	@echo "make test   lint, type check and run all tests"
	@echo "make bench  after make demo: measure its network and compare ratios with benchmarks/baseline.json"
	@echo "make clean  remove what both made: .venv, demo/ and caches"

demo:
	@"$$(tools/environment.sh train export runtime)" tools/demo.py

test:
	@tools/test.sh

# On a calm machine, RATIOS="--save-baseline benchmarks/baseline.json" measures anew what later runs are checked against.
RATIOS ?= --check-baseline benchmarks/baseline.json
# glibc gives PyTorch's memory back after each operation, in one run more than in the next.
MEMORY := $(if $(filter Linux,$(shell uname -s)),--keep-freed-memory)

bench:
	@"$$(tools/environment.sh train export runtime bench)" -m mcore_bench.command demo/bundle --checkpoint demo/run/best.pt \
		--threads 1 $(MEMORY) --no-compile --no-throughput --no-limits --dives 0 $(RATIOS) --json demo/bench.json

clean:
	rm -rf .venv demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
