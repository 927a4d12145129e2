# `make` lists the targets. Each that compiles runs .ci/deps first, so that any of them can be the first thing typed on
# a fresh machine.

SHELL := bash
.DEFAULT_GOAL := help

# Go's installer leaves PATH to the user's profile, which a plain shell or a CI job may not have read.
export PATH := $(PATH):/usr/local/go/bin

# Without it, a machine that has no C compiler yet gets "undefined: zmq4.Socket" instead of the reason.
export CGO_ENABLED := 1

# Go stamps the commit into the program, and refuses to build where git is unable or unwilling to tell it (a checkout
# that belongs to another user, one without a commit). There it builds without the stamp.
export GOFLAGS := $(strip $(GOFLAGS) $(shell git rev-parse HEAD >/dev/null 2>&1 || echo -buildvcs=false))

# Pinned, so that a new release finds new faults when somebody looks and not when somebody commits.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# What shellcheck reads.
SCRIPTS := .ci/deps .ci/run docker/image docker/base-image docker/health cmd/dafka/install/dafka.bash interop/testdata/c-user.sh

# How long each fuzz target and each benchmark runs, and whose targets: make fuzz FUZZTIME=5m FUZZED=./zmqwire
FUZZED ?= ./...
FUZZTIME ?= 20s
BENCHTIME ?= 1s

# How many rounds make torture goes, and how long it soaks: make torture TORTURE=1000 SOAK=1h
TORTURE ?= 200
SOAK ?= 10m
# What it runs: tests of the ordinary run, which go on for longer, and ClockJumps, which builds too long for that one.
# Most rounds wait for something that was stopped or cut off, so several go on at once.
TORTURES := ^Test(Simulation|PowerLoss|RandomDamage|CrashMatrix|NetworkMatrix|BadConnections|Soak|ClockJumps|Floods|OnePeersClaims|IdleConnections)

# How many clusters of interop run at a time: they wait more than they work.
PARALLEL ?= 4

# The clusters of interop get the machine to themselves, for their timing is real, and are never answered from Go's
# test cache, which cannot see the processes they start. Both halves run whatever the first one says, unless it was
# interrupted: go test answers ctrl-C by failing, which alone would start the second.
# $(1) is what else go test is told.
define go-test
	@set -euo pipefail; trap 'exit 130' INT; \
	packages=$$(go list ./... | grep -v '/interop\(/\|$$\)'); failed=0; \
	go test $(1) $$packages || failed=1; \
	go test $(1) -count=1 -parallel $(PARALLEL) ./interop/... || failed=1; \
	exit $$failed
endef

.PHONY: help deps build install test race torture fuzz bench lint demo interop image base-image clean

help:
	@echo 'Usage: make TARGET'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps:
	@bash .ci/deps

build: deps ## Build the program: bin/dafka
	go build -o bin/dafka ./cmd/dafka

# Where things go. DESTDIR stands before every path, for those who make packages.
PREFIX ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
to := $(DESTDIR)$(PREFIX)

# The programs of C Dafka that this one is when it is called by their names.
C_PROGRAMS := dafka_towerd dafka_stored dafka_console_producer dafka_console_consumer dafka_perf_store dafka_perf_consumer

# A configuration that is there belongs to the user, and so does a C program: it may be the one that runs.
install: build ## Install program, C names, man pages, completions, systemd units (PREFIX, DESTDIR)
	mkdir -p '$(to)/bin' '$(to)/share/man/man1' '$(to)/share/man/man5' '$(to)/share/bash-completion/completions' \
		'$(to)/share/zsh/site-functions' '$(to)/share/fish/vendor_completions.d' '$(to)/lib/systemd/system' '$(DESTDIR)$(SYSCONFDIR)'
	install -m 755 bin/dafka '$(to)/bin/dafka'
	bin/dafka man '$(to)/share/man/man1' '$(to)/share/man/man5'
	install -m 644 cmd/dafka/install/dafka.bash '$(to)/share/bash-completion/completions/dafka'
	install -m 644 cmd/dafka/install/dafka.fish '$(to)/share/fish/vendor_completions.d/dafka.fish'
	install -m 644 cmd/dafka/install/dafka.zsh '$(to)/share/zsh/site-functions/_dafka'
	@set -e; for name in $(C_PROGRAMS); do \
		if [ -e "$(to)/bin/$$name" ] && ! [ -L "$(to)/bin/$$name" ]; then \
			echo "$(to)/bin/$$name is another program, and stays; remove it to have dafka in its place"; \
		else ln -sf dafka "$(to)/bin/$$name"; fi; \
		ln -sf dafka "$(to)/share/bash-completion/completions/$$name"; \
		ln -sf dafka.fish "$(to)/share/fish/vendor_completions.d/$$name.fish"; \
	done
	@set -e; for unit in dafka-tower.service dafka-store.service; do \
		sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' cmd/dafka/install/$$unit \
			>'$(to)/lib/systemd/system/'$$unit; \
	done
	[ -e '$(DESTDIR)$(SYSCONFDIR)/dafka.cfg' ] || install -m 644 cmd/dafka/install/dafka.cfg '$(DESTDIR)$(SYSCONFDIR)/dafka.cfg'

test: deps ## Run all tests, the clusters of real processes among them
	$(call go-test,-timeout 5m)

race: deps ## Run all tests under the race detector
	$(call go-test,-race -timeout 10m)

torture: deps ## Crash, cut off and soak clusters for long: TORTURE rounds (200), SOAK time (10m)
	go test -asan -timeout 10m ./zmqwire/...
	DAFKA_TORTURE=$(TORTURE) DAFKA_SOAK=$(SOAK) \
		go test -v -count=1 -timeout 24h -p 1 -parallel 5 -run '$(TORTURES)' ./zmqwire/... ./consumer ./store/... ./interop

# go test fuzzes one target of one package at a time, and the list is asked for so that no new target is forgotten.
fuzz: deps ## Fuzz every decoder in turn, each for FUZZTIME (20s)
	@set -euo pipefail; trap 'exit 130' INT; \
	packages=$$(go list $(FUZZED)); \
	for package in $$packages; do \
		targets=$$(go test -list '^Fuzz' $$package); \
		for target in $$(grep '^Fuzz' <<<"$$targets"); do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

bench: build ## Measure this machine: dafka bench all, then the Go benchmarks (BENCHTIME each)
	bin/dafka bench all
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

# gofmt is taken from the Go that builds: another release on PATH may format differently.
lint: deps ## Check format, go vet, staticcheck, words, and shellcheck where it is installed
	@set -e; unformatted=$$("$$(go env GOROOT)/bin/gofmt" -l .); \
	if [ -n "$$unformatted" ]; then \
		printf 'Not formatted; run gofmt -w on:\n%s\n' "$$unformatted"; exit 1; \
	fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go test -count=1 -run '^TestWords' ./interop
	@if command -v shellcheck >/dev/null; then echo shellcheck $(SCRIPTS); shellcheck $(SCRIPTS); fi

demo: build ## Send this machine's log through a cluster and compare what comes out
	go build -o bin/demo ./interop/demo
	bin/demo -dafka bin/dafka

# The results go to files, since go test keeps to itself what a package that passes has printed.
interop: deps ## Run the matrix of scenarios and roles, with C where DAFKA_C_BIN is set, and print its table
	@set -uo pipefail; mkdir -p bin; export DAFKA_INTEROP_TABLE=$${DAFKA_INTEROP_TABLE:-$(CURDIR)/bin/interop.txt}; \
	rm -f "$$DAFKA_INTEROP_TABLE"; failed=0; \
	go test -count=1 -timeout 60m -parallel $(PARALLEL) -run 'TestMatrix|TestContainers' ./interop || failed=1; \
	if [ -e "$$DAFKA_INTEROP_TABLE" ]; then cat "$$DAFKA_INTEROP_TABLE"; fi; exit $$failed

image: ## Build the container image of the Go nodes: dafka
	@docker/image

base-image: ## Build a Debian for it where no registry is in reach, as root: dafka-base (MIRROR, SUITE)
	@docker/base-image

clean: ## Remove what the other targets left in this folder
	rm -rf bin
