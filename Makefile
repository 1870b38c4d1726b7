# What can be done with this tree. `make` alone prints the list.

GO         ?= go
PREFIX     ?= /usr/local
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
FUZZTIME   ?= 30s
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
GOLANGCI    = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# Raised now and then, so that it is a commit that finds something: make vulns VULNDB=latest
VULNDB     ?= v0.0.0-20261105234957-e22db6528018

# Static, without paths of this machine: the same source and Go give the same bytes. Without gRPC's
# trace pages, which nobody can see here, they are 4 MB smaller.
FLAGS = -trimpath -tags grpcnotrace
BUILD = CGO_ENABLED=0 $(GO) build $(FLAGS) -ldflags '-s -w -X main.version=$(VERSION)'
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
MAX_BYTES = 25000000

.DEFAULT_GOAL = help
.PHONY: help build install demo test race lint vulns fuzz torture faults bench bench-growth vectors docs cross clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/airgap
	$(BUILD) -o bin/airgap ./cmd/airgap

install: build ## install airgap, its man pages and its completions below PREFIX (/usr/local)
	install -D -m 755 bin/airgap $(DESTDIR)$(PREFIX)/bin/airgap
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/airgap completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/airgap
	bin/airgap completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_airgap
	bin/airgap completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/airgap.fish

demo: build ## show the whole way on sample images; needs nothing but Go
	testdata/demo

test: ## run all tests; says at the end what was skipped for want of an engine, sshd, …
	@$(GO) test -json -timeout 20m ./... | $(GO) run ./internal/testreport

race: ## run all tests but those of the built command and the longest ones with the race detector; needs a C compiler
	@CGO_ENABLED=1 $(GO) test -json -race -short -timeout 20m $$($(GO) list ./... | grep -v -e /internal/e2e -e /internal/faults) | $(GO) run ./internal/testreport

lint: ## gofmt, go vet for other systems, golangci-lint with go vet and staticcheck for this one
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'lint: run gofmt -w on these'; exit 1; }
	GOOS=windows $(GO) vet $(FLAGS) ./...
	GOOS=darwin $(GO) vet $(FLAGS) ./...
	$(GO) run $(GOLANGCI) run

# With go.mod's own toolchain, which everybody builds with who has an older one and may fetch it.
vulns: ## look for known vulnerabilities that airgap could meet, in the database of the module golang.org/x/vulndb
	@data=$$($(GO) mod download -json golang.org/x/vulndb@$(VULNDB) | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$$/\1/p') && test -d "$$data" && \
	  GOTOOLCHAIN=auto $(GO) run $(GOVULNCHECK) -db "file://$$data/data/osv" ./...

fuzz: ## run every fuzz target for FUZZTIME (30s)
	@found=; for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    found=1; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$package || exit 1; \
	  done; \
	done; test "$$found" || { echo 'fuzz: there are no targets'; exit 1; }

torture: ## the long tests: every bit of a 64 KiB bundle flipped, and the like; 20,000 sequences in a world that is not clean
	AIRGAP_TORTURE=1 $(GO) test -v -timeout 4h -run 'Flip|Damage|Cut|Torture' ./bundle/... ./verify/... ./transfer/...
	AIRGAP_TORTURE=1 $(GO) test -v -timeout 8h -run World ./cmd/airgap

faults: ## cut transfers and pull media, hundreds of times; 9 GiB past a limit of 4
	AIRGAP_CUTS=1000 $(GO) test -v -timeout 4h -count 2 -run 'SendsOn|CutAnywhere' ./transfer/sftp
	AIRGAP_FAULTS=1 $(GO) test -v -timeout 4h -count 1 ./internal/faults

bench: build ## measure airgap against what it replaces, and how time and memory grow with the work, into docs/BENCHMARKS.md
	testdata/bench

bench-growth: build ## only how time and memory grow with the work; BENCH_LAYERS="64 1024" leaves out the largest
	BENCH_PARTS=growth testdata/bench

vectors: ## write testdata/vectors and its table
	$(GO) test ./internal/vectors -run '^TestVectors$$' -count 1 -update

docs: ## write docs/reference.md and docs/man from the commands themselves
	$(GO) test ./cmd/airgap -run '^TestDocs$$' -count 1 -update

cross: ## build static binaries for all systems into dist/, none over 25 MB
	@rm -rf dist && mkdir dist
	@for platform in $(PLATFORMS); do \
	  os=$${platform%/*} arch=$${platform#*/}; file=dist/airgap-$$os-$$arch; \
	  if [ $$os = windows ]; then file=$$file.exe; fi; \
	  GOOS=$$os GOARCH=$$arch $(BUILD) -o $$file ./cmd/airgap || exit 1; \
	  size=$$(wc -c < $$file); printf '%s  %d bytes\n' $$file $$size; \
	  if [ $$size -gt $(MAX_BYTES) ]; then echo "cross: $$file is over $(MAX_BYTES) bytes"; exit 1; fi; \
	done

clean: ## remove what make made
	rm -rf bin dist demo
