# What a person or CI runs. Every target that needs a program calls .ci/setup first, which installs
# what is missing (by apt-get, as root or by sudo without a password) or says how to do it by hand.

GOLANGCI_LINT_VERSION := v2.15.0

GO            ?= go
PKG           ?= ./...
BENCH         ?= .
FUZZTIME      ?= 10s
ARGS          ?=
golangci_lint := .cache/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)

.PHONY: build
build: ## build bin/fleetsync
	@.ci/setup build
	$(GO) build -o bin/fleetsync ./cmd/fleetsync

.PHONY: demo
demo: ## set up what is missing, build, run the main job on a fleet of 24 directories (ARGS=... is handed on)
	@.ci/setup demo
	@$(MAKE) --no-print-directory build
	bin/fleetsync demo $(ARGS)

.PHONY: test
test: ## set up what is missing, run all tests with the race detector; with CI=1 a missing program fails a test
	@.ci/setup test
	TMPDIR=$${TMPDIR:-$$(.ci/memory)} CGO_ENABLED=1 $(GO) test -race -timeout 30m $(PKG)

# What make quick tests, and what of it not: what runs a shell, and what takes a second or more.
quick := ./inventory ./configs ./orchestrator/rollout/... ./orchestrator/journal ./orchestrator/manifest ./orchestrator/guard \
	./orchestrator/checks ./orchestrator/fanout ./orchestrator/preflight ./orchestrator/session ./pooling ./pooling/balancer \
	./transport ./transport/rsync ./cmd/fleetsync/internal/report/... ./cmd/fleetsync/internal/live
not_quick := ^(TestStripComments|TestQuote|TestWord|TestWrapper.*|TestParseFleetIsBounded|TestScanLeavesHolesAlone|TestSecondLook|$\
	TestAwaitDeath|TestOthers|TestOpenWaits|TestConfirmWords)$$

.PHONY: quick
quick: ## in some 20 seconds: the pure core, the parsers and what is shown, by tests that need nothing but Go and find no other program
	$(GO) test -short -exec 'env PATH=/nowhere' -skip '$(not_quick)' $(quick)

.PHONY: lint
lint: $(golangci_lint) ## shell syntax, gofmt, go vet, golangci-lint and a test of its rules, go mod tidy
	@.ci/setup lint
	@for script in .ci/*; do bash -n "$$script" || exit 1; done
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
		echo "not formatted, run gofmt -w on:" >&2; echo "$$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(golangci_lint) run ./...
	@$(MAKE) --no-print-directory lint-selftest
	$(GO) mod tidy -diff

.PHONY: lint-selftest
lint-selftest: $(golangci_lint) ## plant a breach of each import rule and see it reported
	.ci/lint-selftest $(golangci_lint)

# From source, through the module proxy: three minutes on two cores, once per version.
$(golangci_lint):
	@.ci/setup lint
	@echo "building golangci-lint $(GOLANGCI_LINT_VERSION), which takes some minutes the first time"
	GOBIN=$(CURDIR)/.cache/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv .cache/bin/golangci-lint $@

.PHONY: fuzz
fuzz: ## fuzz every Fuzz function for FUZZTIME (10s), or those of PKG=./package
	@.ci/setup build
	GO="$(GO)" .ci/fuzz $(FUZZTIME) $(PKG)

.PHONY: chaos
chaos: ## kill the real program 200 times (CHAOS_ROUNDS, CHAOS_SEED) and spoil etcd at every operation of a run
	@.ci/setup test
	CHAOS_ROUNDS=$${CHAOS_ROUNDS:-200} CHAOS_TABLE=all $(GO) test -count=1 -v -timeout 60m ./cmd/fleetsync/internal/chaos

.PHONY: bench
bench: ## run the benchmarks (BENCH=pattern, PKG=./package)
	@.ci/setup test
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

.PHONY: trace
trace: ## make docs/trace.md anew: the journal of a small run, with a comment at each event
	@.ci/setup test
	$(GO) test ./cmd/fleetsync -count=1 -run '^TestTrace$$' -update

.PHONY: setup
setup: ## install what build, demo, lint and test need (.ci/setup --dry-run test only says what)
	@.ci/setup test

.PHONY: clean
clean: ## remove what was built here, the linter included
	rm -rf bin .cache

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r target text; do \
		printf '  make %-14s %s\n' "$$target" "$$text"; done

.PHONY: bench-lab
bench-lab: ## as root: measure beside clush, pssh, cumin and ansible on a lab of 40 hosts (ARGS="-part a -runs 5"), as docs/benchmarks.md has it
	@.ci/setup build
	$(GO) run ./cmd/fleetlab/bench $(ARGS)

.PHONY: crowd
crowd: ## command 10,000 simulated ssh hosts, and tell what it costs
	@.ci/setup test
	FLEETSYNC_LONG=1 $(GO) test -count=1 -v -run TestManyHosts -timeout 30m ./transport

.PHONY: faults
faults: ## as root: break each thing at each stage of a run in labs of real hosts; twenty minutes (CELLS="PowerCut.*" for some)
	@.ci/setup test
	FLEETSYNC_LONG=1 $(GO) test -count=1 -v -run 'TestFaults/.*/$(CELLS)' -timeout 60m ./cmd/fleetlab/e2e
