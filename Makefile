# The commands of this tree. `make test` is all that a change must pass.

.DEFAULT_GOAL := help
.PHONY: help test ci run fmt lint unit sdk contract clients schemathesis lm-eval e2e nginx simulate needle disconnects overload deny docker compose

help: ## these targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

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

contract: ## every answer against the published types, and answers held to 300 JSON schemas
	python3 tests/run.py contract

clients: ## langchain, litellm, instructor and the Anthropic package against the binary
	python3 tests/run.py clients

schemathesis: ## 10,000 requests made from the server's own OpenAPI document
	MARU_SCHEMATHESIS_CASES=10000 python3 tests/run.py schemathesis

lm-eval: ## lm-evaluation-harness against the binary
	python3 tests/run.py lm-eval

e2e: ## the binary over a bare socket
	python3 tests/run.py e2e

nginx: ## two binaries behind the real nginx
	python3 tests/run.py nginx

simulate: ## a million seeds of the scheduler's simulation (minutes)
	MARU_SIM_SEEDS=1000000 cargo test --lib simulation::seeds --config 'profile.dev.package.maru.opt-level=2'

needle: ## one request 10,000 times among others on real models (a quarter of an hour)
	MARU_INVARIANCE_RUNS=10000 cargo test --test invariance needle

disconnects: ## a thousand clients that leave at any moment
	MARU_DISCONNECTS=1000 python3 tests/run.py e2e

overload: ## four times the load that the release build can bear, for a minute
	cargo build --release
	python3 tools/overload.py

deny: ## licences, sources and bans of the dependencies (needs cargo-deny)
	cargo deny --offline check licenses bans sources

docker: ## the container image (needs a Docker engine)
	docker build --tag maru:cpu --target cpu .

compose: ## two replicas behind nginx on port 8080 (needs a Docker engine)
	docker compose --file deploy/compose.yaml up --build
