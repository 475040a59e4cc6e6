# make test    every test, after installing what the tests need
# make check   what CI runs: test, formatting, vet, staticcheck, race detector, fuzz, benchmarks once
# make bench   the benchmarks with their rivals; rewrites the table in README.md (about five minutes)
# make soak    100 million spans through 16 rings; records the result in bench/results

STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
MODULES     := . bench interop
FUZZTIME    ?= 10s

.PHONY: test check tools fmt vet staticcheck race fuzz bench-once bench soak

test: tools
	RINGTAIL_REQUIRE_SPIN=1 go test ./...
	cd bench && go test ./...
	cd interop && go test -count=1 ./...

check: fmt vet test staticcheck race fuzz bench-once

# The model of the ring's protocol needs Spin and a C compiler; everything else
# comes with Go. Nothing is installed where they are found.
tools:
	@command -v spin >/dev/null && command -v cc >/dev/null || scripts/install-tools

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "not formatted; run gofmt -w on:"; echo "$$out"; exit 1; }

vet:
	@set -e; for m in $(MODULES); do echo "go vet $$m"; (cd $$m && go vet ./...); done

staticcheck:
	@set -e; for m in $(MODULES); do echo "staticcheck $$m"; (cd $$m && $(STATICCHECK) ./...); done

race:
	go test -race -short ./...

# Every fuzz target, one after the other, for FUZZTIME each.
fuzz:
	@scripts/fuzz $(FUZZTIME)

bench-once:
	go test -run '^$$' -bench . -benchtime 1x ./...
	cd bench && go run . -quick

bench:
	cd bench && go run . -readme ../README.md -raw results/bench.json

soak:
	cd bench && go run . -soak -readme ../README.md -raw results/soak.json
