# The commands of this tree. `make test` is all that a change must pass.

.DEFAULT_GOAL := help
.PHONY: help test ci run fmt lint unit sdk e2e nginx deny docker compose

help: ## these targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

test: ## every suite; installs what it needs
	python3 tests/run.py

ci: ## what CI runs
	bash .ci/run

run: ## build and serve the demo model on port 8000
	cargo run --release

fmt: ## format the code
	cargo fmt --all

lint: ## formatting and clippy, warnings as errors
	python3 tests/run.py fmt lint

unit: ## the Rust tests
	python3 tests/run.py rust

sdk: ## the official Python and Node packages against the binary
	python3 tests/run.py sdk-python sdk-node

e2e: ## the binary over a bare socket
	python3 tests/run.py e2e

nginx: ## two binaries behind the real nginx
	python3 tests/run.py nginx

deny: ## licences, sources and bans of the dependencies (needs cargo-deny)
	cargo deny --offline check licenses bans sources

docker: ## the container image (needs a Docker engine)
	docker build --tag maru:cpu --target cpu .

compose: ## two replicas behind nginx on port 8080 (needs a Docker engine)
	docker compose --file deploy/compose.yaml up --build
