# make up      everything on this machine, until Ctrl-C
# make demo    a story of each system against it, told as it goes
# make test    every test, on a private stack
# make histories  records how rentals end, for the replay test of later builds
# make verify  what has to pass before a change lands
# make fuzz    asks for whatever the API's description allows, and more: CASES=30 for each route, SEED=1
# make manifests  checks the compose file and the Kubernetes manifests, without Docker or a cluster
# make load    a hundred people at a time want one thing, and distinct ones (builds for release first)
# make bench   measures rentals beside the floor, and writes docs/benchmarks.md (builds for release first)
# make clean   removes what was built (not your bookings)

SHELL := bash
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
.PHONY: help up demo test histories fuzz load manifests verify tools build format lint deny doc bench clean

help:
	@sed -n 's/^# //p' Makefile

tools:
	@tools/setup

build: tools
	cargo build --workspace

up: build
	@target/debug/holdfast-dev up

demo: build
	@target/debug/holdfast-dev demo

test: build
	@tools/setup test
	cargo test --workspace --lib --test it --no-run
	rm -rf target/tmp/answers
	cargo test --workspace --test it -- alone:: --test-threads=1
	target/debug/holdfast-dev stack cargo test --workspace --test it -- faults:: --nocapture
	target/debug/holdfast-dev stack cargo test --workspace --lib --test it --no-fail-fast -- --skip alone:: --skip faults::
	cargo test --workspace --test it -- --ignored contract::

histories: build
	mkdir -p workflows/tests/histories/$(VERSION)
	HOLDFAST_RECORD=$(CURDIR)/workflows/tests/histories/$(VERSION) target/debug/holdfast-dev stack \
		cargo test --workspace --test it -- histories::

fuzz: build
	target/debug/holdfast-dev stack tools/fuzz

verify: format lint deny doc test

format:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo clippy --package holdfast-workers --no-default-features --lib --bins -- --deny warnings

deny:
	@tools/setup deny
	target/tools/bin/cargo-deny --log-level error check licenses bans sources

doc:
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps

bench: tools
	cargo build --release --workspace
	cargo bench --package holdfast-orchestrator --bench rentals

manifests: tools
	@tools/manifests

load: tools
	@tools/setup load
	cargo build --release --workspace
	@mkdir -p target/tmp
	HOLDFAST_ANSWER_SECONDS=1 HOLDFAST_PROVIDER_BREAKER_FAILURES=5 HOLDFAST_PROVIDER_CALLS_PER_SECOND_MAX=100 \
		HOLDFAST_REQUESTS_PER_SECOND_MAX=100000 target/release/holdfast-dev stack tools/load

clean:
	cargo clean
