# One line per habit: `make` lists them. What a target needs and the machine
# lacks is installed first (.ci/install says what).
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ARGS     ?=
CORPUS   ?= ../shared/corpus
FUZZTIME ?= 30s
PACKAGES ?= ./...
# make kill prints the seed it drew (SEED=0); the same seed makes the same plan.
KILLS    ?= 100
MAILS    ?= 1000
STORMS   ?= 3
LETTERS  ?= 10000
SEED     ?= 0
# nodynamic: HEIC is decoded by the pinned WebAssembly module, never by whatever
# libheif a machine may have.
TAGS     := nodynamic
export GOFLAGS := $(GOFLAGS) -buildvcs=false -tags=$(TAGS)
# Each package under test may run servers of its own: no more at once than a
# small machine bears.
JOBS     ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 4 ? n : 4)))

.PHONY: help go build run demo test check controls vuln race fuzz corpus bench bench-smtp bench-imap bench-outbox kill kill-imap

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

go:
	@command -v go >/dev/null || { echo "Go 1.26 or newer is missing: https://go.dev/doc/install"; exit 1; }

build: go ## bin/vaguemestre
	CGO_ENABLED=0 go build -trimpath -o bin/vaguemestre ./cmd/vaguemestre

run: go ## install what running needs, build, start; ARGS="--http :8080"
	@.ci/install run
	@$(MAKE) --no-print-directory build
	exec bin/vaguemestre run $(ARGS)

demo: go ## beside `make run`: send it three e-mails, show what becomes of them; ARGS="--home DIR"
	@$(MAKE) --no-print-directory build
	@bin/vaguemestre demo $(ARGS)

test: go ## install what testing needs, run every test; PACKAGES=./core/...
	@.ci/install test
	time go test -p $(JOBS) -timeout 15m $(PACKAGES)

# The corpus tests are held to the same rules; deadcode counts what only tests use as used.
check: go ## format, vet, staticcheck, import rules, unused code
	@unformatted=$$(gofmt -l $$(go list -f '{{.Dir}}' $(PACKAGES))); \
	if [ -n "$$unformatted" ]; then echo "gofmt: not formatted:"; sort -u <<<"$$unformatted"; exit 1; fi
	go vet -tags corpus,$(TAGS) $(PACKAGES)
	go tool staticcheck -tags corpus,$(TAGS) $(PACKAGES)
	GOFLAGS=-tags=corpus,$(TAGS) go tool depguard $(PACKAGES)
	@echo go tool deadcode -test -tags corpus,$(TAGS) ./...; \
	unused=$$(go tool deadcode -test -tags corpus,$(TAGS) ./...); \
	if [ -n "$$unused" ]; then echo "$$unused"; exit 1; fi

controls: go ## the tests of every control of docs/controls.md, and which has none yet
	@.ci/install test
	@.ci/controls

vuln: go ## known vulnerabilities that our code reaches
	@.ci/vuln

race: go ## every test under the race detector (needs a C compiler)
	@.ci/install race
	time CGO_ENABLED=1 go test -race -p $(JOBS) -timeout 30m $(PACKAGES)

kill: go ## killed at random while mail comes in, for long; KILLS=100 MAILS=1000 STORMS=3 SEED=0
	@.ci/install test
	go test -count=1 -v -timeout 60m -run 'KilledAtRandom|KilledWhileFounding' ./cmd/vaguemestre -args -kills $(KILLS) -mails $(MAILS) -storms $(STORMS) -seed $(SEED)

fuzz: go ## every fuzz target in turn; FUZZTIME=30s
	@.ci/install test
	@.ci/fuzz $(FUZZTIME)

corpus: go ## read the corpora of others in place; CORPUS=../shared/corpus
	@test -d "$(CORPUS)" || { echo "no corpus in $(CORPUS): make corpus CORPUS=DIR"; exit 1; }
	@.ci/install test
	VAGUEMESTRE_CORPUS="$(abspath $(CORPUS))" go test -count=1 -v -timeout 30m -tags corpus,$(TAGS) -run Corpus $(PACKAGES) | sed -u -e '/\[no tests to run\]/d' -e '/no tests to run$$/d' -e '/\[no test files\]/d'

bench: go ## accepted mails a second, time to filed, memory; docs/performance.md says how to read it
	@.ci/install test
	go test -run '^$$' -bench 'Disk|Accept|Filed|Memory' -benchtime 1x -timeout 30m ./cmd/vaguemestre

bench-outbox: go ## letters a second; with the mailer killed 20 times; accepting beside a relay in trouble; LETTERS=10000
	@.ci/install test
	go test -run '^$$' -bench Outbox -benchtime 1x -timeout 60m ./cmd/vaguemestre -args -letters $(LETTERS)

bench-smtp: go ## mails accepted durably beside Postfix and a bare go-smtp server, in turns (as root)
	@.ci/install test
	go test -run '^$$' -bench BesidePostfix -benchtime 1x -timeout 30m ./cmd/vaguemestre

bench-imap: go ## 1,000 messages out of a mailbox beside mbsync and fetchmail, and from APPEND to filed
	@.ci/install test
	@.ci/install bench-imap
	go test -run '^$$' -bench 'BesideMbsync|AppendToFiled' -benchtime 1x -timeout 60m ./cmd/vaguemestre

kill-imap: go ## pollers of a mailbox killed at random, its server restarted, its UIDVALIDITY changed, for long; SEED=0
	@.ci/install test
	go test -count=1 -v -timeout 60m -run PollersKilled ./cmd/vaguemestre -args -pollkills 100 -pollrestarts 20 -pollmails 500 -seed $(SEED)
