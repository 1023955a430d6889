# make up      everything on this machine, until Ctrl-C
# make demo    a story of each system against it, told as it goes
# make test    every test, on a private stack
# make histories  records how rentals end, for the replay test of later builds
# make verify  what has to pass before a change lands
# make mutants breaks a promise at a time and expects the tests to fail (half an hour; ONLY=words of its name)
# make fuzz    asks for whatever the API's description allows, and more: CASES=30 for each route, SEED=1
# make manifests  checks the compose file and the Kubernetes manifests, without Docker or a cluster
# make soak    books, fails and kills at random, and looks for what must never be: MINUTES=30, SEED=1
# make network  makes the way between every two parts bad under load, and writes docs/network.md (ten minutes; ONLY=words of a way)
# make sbom    a bill of materials for each crate; make advisories ADVISORIES=<clone of RustSec's database>: what is known against it
# make compose   runs what docker-compose.yml describes without Docker: books, returns, ends (KEEP=--keep: runs until Ctrl-C)
# make test-deploy  replaces every process under load, and counts what is lost (FROM=<commit>: begins with the programs of that commit)
# make bench   measures bookings beside the others, and writes docs/benchmarks.md (QUICK=1: two minutes; ONLY=rentals,tail,systems,seeds,
#              feed,growth,faults; CANDIDATES=holdfast,queues,floor,go,python,restate,dbos)
# make clean   removes what was built (not your bookings)

SHELL := bash
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
.PHONY: help up demo test test-deploy histories fuzz mutants soak network sbom advisories compose manifests verify tools build format lint deny doc bench clean

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

mutants: build
	@tools/mutants

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

bench:
	@tools/setup $(if $(QUICK),,bench)
	cargo build --release --workspace --bins --benches
	ulimit -n $$(ulimit -H -n) && cargo bench --workspace --bench rentals -- $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(CANDIDATES),--candidates $(CANDIDATES))

manifests: tools
	@tools/manifests

compose: build
	@tools/setup compose
	target/tools/manifests/bin/python tools/compose $(KEEP)

OLD := $(CURDIR)/target/$(if $(FROM),previous/)release
test-deploy: build
	cargo build --release --workspace --bins
	@[ -z "$(FROM)" ] || tools/previous $(FROM)
	HOLDFAST_UPGRADING=$(if $(FROM),true,false) HOLDFAST_PROGRAMS=$(OLD) HOLDFAST_PROGRAMS_NEW=$(CURDIR)/target/release \
		cargo test --workspace --test it -- alone::deploy --ignored --nocapture

soak: build
	MINUTES=$(MINUTES) SEED=$(SEED) cargo test --workspace --test it -- alone::soak --ignored --nocapture --test-threads=1

network: build
	@tools/setup network
	ONLY="$(ONLY)" cargo test --workspace --test it -- alone::network --ignored --nocapture --test-threads=1

sbom:
	@tools/supply sbom

advisories:
	@tools/supply advisories $(ADVISORIES)

clean:
	cargo clean
