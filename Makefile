# SPDX-License-Identifier: AGPL-3.0-or-later
#
# make demo      set up what is missing, build, run the three-node demo
# make test      set up what is missing, build, run every test
# make help      the rest

.DEFAULT_GOAL := help
.PHONY: help setup build demo test sanitize fuzz soak chaos bench package container format check clean

jobs ?= $(shell nproc)
preset ?= dev
tries ?= 1

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Install the Debian packages that are missing (lists them first)
	@tools/setup

build: setup  ## Build the release program build/release/dfaas
	@cmake --preset release --log-level=WARNING
	@cmake --build --preset release -j $(jobs)

demo: build  ## Run the demo: three nodes, real load, a report
	@build/release/dfaas demo

test: setup  ## Build and run every test (preset=asan or tsan for the sanitizers; tries=2 for a busy machine)
	@cmake --preset $(preset) --log-level=WARNING
	@cmake --build --preset $(preset) -j $(jobs)
	@ctest --preset $(preset) --no-tests=error --repeat until-pass:$(tries)

sanitize: setup  ## Run every test under the address, undefined-behaviour and thread sanitizers
	@$(MAKE) --no-print-directory test preset=asan
	@$(MAKE) --no-print-directory test preset=tsan

fuzz: setup  ## Fuzz every reader of untrusted text (seconds=60 each; takes clang 19)
	@tests/fuzz/run $(or $(seconds),60)

soak: build  ## Half load and a deployment each second for 15 minutes: nothing may leak (seconds=900)
	@DFAAS_BINARY=$(CURDIR)/build/release/dfaas DFAAS_SOAK_SECONDS=$(or $(seconds),900) \
	  /usr/bin/python3 -m pytest -q -rP tests/end_to_end/test_soak.py

chaos: build  ## Random faults every few seconds under load for 20 minutes (seconds=1200 seed=1)
	@DFAAS_BINARY=$(CURDIR)/build/release/dfaas DFAAS_CHAOS_SECONDS=$(or $(seconds),1200) \
	  DFAAS_CHAOS_SEED=$(or $(seed),1) \
	  /usr/bin/python3 -m pytest -q -rP tests/end_to_end/test_chaos.py

bench: build  ## Measure against the bars; writes build/bench/results.json
	@cmake --preset bench --log-level=WARNING
	@cmake --build --preset bench -j $(jobs)
	@bench/run

package: build  ## Make the Debian package build/package/dfaas_VERSION_ARCHITECTURE.deb
	@cmake --build --preset release -j $(jobs) --target package_files
	@rm -f build/package/dfaas_*.deb
	@cpack --config build/release/CPackConfig.cmake

container: package  ## Make the container image dfaas with podman or docker (engine=buildah for another)
	@packaging/build-container $(engine)

format:  ## Format the sources
	@git ls-files '*.cpp' '*.hpp' | xargs clang-format-19 -i

check:  ## What CI checks before the tests: format, lint, headers alone, docs
	@tools/check

clean:  ## Remove what was built
	@rm -rf build
