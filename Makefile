# Earmark's commands. `make demo` and `make test` install what is missing (clang, for RocksDB's bindings) and need
# nothing but Rust and a C compiler beforehand.

# RocksDB's C++ is compiled once per machine, into a cache outside the checkout (deploy/rocksdb-cache).
ROCKSDB = $(shell deploy/rocksdb-cache)
CARGO = ROCKSDB_LIB_DIR="$(ROCKSDB)" ROCKSDB_STATIC=1 cargo

# Where cargo puts what it builds.
TARGET = $(or $(CARGO_TARGET_DIR),target)

# What users run is compiled by what a server was seen to do most (deploy/profile), where the compiler is the one that saw it.
PROFILE = $(eval PROFILE := $(shell deploy/profile/path))$(PROFILE)
PROFILED = $(if $(PROFILE),CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-Cprofile-use=$(PROFILE) -Cllvm-args=-no-pgo-warn-mismatch")
RELEASE = $(PROFILED) $(CARGO) build --locked --release

# Builds the server, and a program of benches/src/bin that starts it. One after the other: together they would share the features
# of what both depend on, and the server would be compiled once more than for `make build`.
MEASURE = $(RELEASE) --package earmark-node --bin earmark && $(RELEASE) --package earmark-benches --bin

.DEFAULT_GOAL := help

# Lists the targets.
.PHONY: help
help:
	@awk '/^# /{text=substr($$0,3)} /^[a-z-]+:/{split($$1,name,":"); if(text!="")printf "  make %-13s %s\n",name[1],text; text=""}' Makefile

# Starts a three-node cluster in one process, sells a real Saturday's orders on it, and says what happened.
.PHONY: demo
demo: tools
	@$(RELEASE) --package earmark-node --bin earmark
	@deploy/demo "$(TARGET)/release/earmark"

# Runs all tests.
.PHONY: test
test: tools
	@$(CARGO) test --locked --workspace

# Builds the release binary: target/release/earmark.
.PHONY: build
build: tools
	@$(RELEASE) --package earmark-node --bin earmark

# Learns anew what a server does most (half an hour), into deploy/profile: before a release.
.PHONY: profile
profile: tools
	@deploy/profile/train

# Formats-checks, lints with warnings denied, tests, builds the docs. Writes nothing into the tree.
.PHONY: check
check: tools
	@cargo fmt --all -- --check
	@$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	@$(CARGO) test --locked --workspace
	@RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --workspace --no-deps

# Explores the cart protocol's states, shows each rule's counterexample, and writes both into docs/carts.md.
.PHONY: cart-model
cart-model:
	@cargo run --locked --release --package earmark-ledger --example cart_model -- --write docs/carts.md

# Runs one seed of the simulation: make sim SEED=7.
SEED ?= 0
.PHONY: sim
sim: tools
	@$(CARGO) run --locked --profile sim --package earmark-simulation -- run --seed $(SEED)

# Runs many seeds of the simulation: make sweep SEEDS=0..100. Goes on where it was cut off, as STATE has it.
SEEDS ?= 0..50
JOBS ?= $(shell nproc)
STATE ?= target/sweep.jsonl
.PHONY: sweep
sweep: tools
	@mkdir -p "$(dir $(STATE))"
	@$(CARGO) run --locked --profile sim --package earmark-simulation -- sweep --seeds $(SEEDS) --jobs $(JOBS) --state $(STATE)

# Compiles only the workspace's own crates anew, with the feature `planted`, beside those without it; the binary lies in a
# folder of its own, so target/sim/simulation stays as it is.
# Looks for planted bugs until a run of the simulation notices each, and writes the table into docs/simulation.md.
BUGS ?=
.PHONY: mutants
mutants: tools
	@CARGO_BUILD_BUILD_DIR=target $(CARGO) run --locked --profile sim --package earmark-simulation --features planted \
		--target-dir target/planted -- mutants --jobs $(JOBS) --write docs/simulation.md $(if $(BUGS),--only $(BUGS))

# Starts three nodes for each shape of load, drives them through the SDK, and prints what it cost: make bench SHAPES=singles-64 SHARDS=1.
SHAPES ?=
SHARDS ?= 8
LENGTH ?= 10s
.PHONY: bench
bench: tools
	@$(MEASURE) earmark-load
	@"$(TARGET)/release/earmark-load" bench --earmark "$(TARGET)/release/earmark" $(SHAPES) --shards $(SHARDS) --length $(LENGTH)

# Gives the same work to Earmark, Redis, PostgreSQL and etcd, in turn, each as three copies here: make bench-peers SHAPES=singles-64.
.PHONY: bench-peers
bench-peers: tools
	@deploy/install-peers
	@$(RELEASE) --package earmark-node --bin earmark
	@cargo build --locked --release --manifest-path benches/peers/Cargo.toml --target-dir target/peers
	@target/peers/release/earmark-peers --earmark "$(TARGET)/release/earmark" $(SHAPES) --shards $(SHARDS) --length $(LENGTH)

# Kills the leader of a shard under load, thirty times, and says how long nobody got anything: make fail-over KILLS=5.
KILLS ?= 30
.PHONY: fail-over
fail-over: tools
	@$(MEASURE) fail-over
	@"$(TARGET)/release/fail-over" --earmark "$(TARGET)/release/earmark" --kills $(KILLS)

# Asks for four times as much as can be done, the servers on one processor, the callers on the other: make overload TIMES=2.
TIMES ?= 4
.PHONY: overload
overload: tools
	@$(MEASURE) overload
	@taskset --cpu-list 1 "$(TARGET)/release/overload" --earmark "$(TARGET)/release/earmark" --server-cpus 0 --times $(TIMES)

# Stops a follower, then slows its disk down (as root), and says what that costs the others.
.PHONY: slow-follower
slow-follower: tools
	@$(MEASURE) slow-follower
	@"$(TARGET)/release/slow-follower" --earmark "$(TARGET)/release/earmark"

# Restarts a node with millions of reservations, then brings it back empty, under load: make restart RESERVATIONS=1000000.
RESERVATIONS ?= 5000000
.PHONY: restart
restart: tools
	@$(MEASURE) restart
	@"$(TARGET)/release/restart" --earmark "$(TARGET)/release/earmark" --reservations $(RESERVATIONS)

# Measures what a reserve costs on 1 to 64 shards and among 1,000 to 1,000,000 pools, and what they take in memory.
.PHONY: scale
scale: tools
	@$(MEASURE) scale
	@"$(TARGET)/release/scale" --earmark "$(TARGET)/release/earmark"

# Reserves and commits at a steady rate, and looks at the servers' memory all the while: make steady FOR=10m.
FOR ?= 1h
.PHONY: steady
steady: tools
	@$(MEASURE) steady
	@"$(TARGET)/release/steady" --earmark "$(TARGET)/release/earmark" --length $(FOR)

# Measures single parts by the clock: the ledger alone, and the store on this disk: make micro ONLY=apply.
ONLY ?=
.PHONY: micro
micro: tools
	@$(CARGO) bench --locked --package earmark-benches -- $(ONLY)

# Counts the instructions of apply, codec and checkpoint under Valgrind, and what changed since the last time.
.PHONY: instructions
instructions:
	@deploy/install-gungraun
	@PATH="$(CURDIR)/target/tools/bin:$$PATH" cargo bench --locked --manifest-path benches/instructions/Cargo.toml --target-dir target/instructions

# Formats and applies what the linter can mend by itself.
.PHONY: fix
fix: tools
	@cargo fmt --all
	@$(CARGO) clippy --workspace --all-targets --fix --allow-dirty

# Installs clang where it is missing; RocksDB's bindings are generated with it.
.PHONY: tools
tools:
	@deploy/install-tools
