# make test    every test, after installing what the tests need
# make check   what CI runs: test, formatting, vet, staticcheck, race detector, fuzz, benchmarks once
# make bench   the benchmarks with their rivals; rewrites the table in README.md (about eleven minutes)
# make bench-daemon  the daemon beside the OpenTelemetry Collector; likewise, and about as long
# make soak    100 million spans through 16 rings; records the result in bench/results

STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
MODULES     := . bench interop examples/quickstart examples/service
FUZZTIME    ?= 10s

.PHONY: test check tools fmt vet staticcheck race fuzz bench-once bench bench-daemon soak

test: tools
	RINGTAIL_REQUIRE_SPIN=1 go test ./...
	cd bench && go test ./...
	cd interop && RINGTAIL_REQUIRE_SDKS=1 go test -count=1 ./...
	cd examples/quickstart && OTEL_TRACES_EXPORTER=console go run .
	cd examples/service && go test ./...

check: fmt vet test staticcheck race fuzz bench-once

# The model of the ring's protocol needs Spin and a C compiler, and the official SDKs that
# the daemon is tested against need Node and Python; everything else comes with Go.
# Nothing is installed where it is found.
tools:
	@command -v spin >/dev/null && command -v cc >/dev/null || scripts/install-tools
	@scripts/install-sdks

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "not formatted; run gofmt -w on:"; echo "$$out"; exit 1; }

vet:
	@set -e; for m in $(MODULES); do echo "go vet $$m"; (cd $$m && go vet ./...); done

staticcheck:
	@set -e; for m in $(MODULES); do echo "staticcheck $$m"; (cd $$m && $(STATICCHECK) ./...); done

race:
	go test -race -short ./...
	cd examples/service && go test -race ./...

# Every fuzz target, one after the other, for FUZZTIME each.
fuzz:
	@scripts/fuzz $(FUZZTIME)

bench-once:
	go test -run '^$$' -bench . -benchtime 1x ./...
	cd bench && go run . -quick
	cd bench && go run ./daemon -quick -rivals=false

bench:
	cd bench && go run . -readme ../README.md -raw results/bench.json

bench-daemon:
	cd bench && go run ./daemon -results daemon/RESULTS.md -readme ../README.md

soak:
	cd bench && go run . -soak -readme ../README.md -raw results/soak.json
