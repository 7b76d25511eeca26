# `make help` lists the targets. They need Go, GNU Make 4 and bash. Tools are
# installed into .tools/. As root on Debian, `make test` also installs system
# packages: a C compiler for the race detector, the servers for the tests,
# Node.js and Python with gRPC, and Chromium. Servers that Debian 12 lacks are
# unpacked into a cache folder: see internal/servers.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ifeq ($(filter 4.% 5.%,$(MAKE_VERSION)),)
$(error GNU Make 4 or newer is needed, this is $(MAKE_VERSION))
endif

# Versions of the tools. A new version is installed at its first use.
BUF_VERSION                := v1.68.0
GOLANGCI_LINT_VERSION      := v2.15.0
GOVULNCHECK_VERSION        := v1.9.0
VALE_VERSION               := v3.21.0
PROTOC_GEN_GO_VERSION      := v1.36.12
PROTOC_GEN_GO_GRPC_VERSION := v1.6.2
PROTOC_GEN_GRPC_GATEWAY_VERSION := v2.33.0

# The newest release of Go, for make test-newest.
NEWEST_GO := 1.27.4

# Variables to set on the command line.
STORE    ?= memory:
INPUT    ?=
METRICS  ?=
SERVERS  ?= test-servers
ROUNDS   ?= 5
FUZZTIME ?= 1m
RUNS     ?= 200000
REDIS_RUNS ?= 200
SQL_RUNS ?= 50
KILLS    ?= 500
RUN      ?= 10s
STOP     ?= 3s
PKG      ?= . ./interceptor ./oncehttp ./journal ./reconcile ./consume ./store/redisstore ./internal/crash ./connect ./gateway ./internal/wires \
	./internal/sqlcrash

CONSOLE  ?=
WITHOUT  ?=
export STORE INPUT CONSOLE METRICS WITHOUT

# Each module is built and tested without go.work, as its users resolve it.
export GOWORK := off

TOOLS   := $(CURDIR)/.tools
MODULES := $(sort $(patsubst %/go.mod,%,$(shell find . \
	\( -name '.?*' -o -name testdata -o -name node_modules \) -prune \
	-o -name go.mod -print)))

# together runs commands concurrently, JOBS at a time. The default is the number
# of processors. It prints the output of each command in one piece, failures last.
JOBS     ?=
TOGETHER := $(TOOLS)/together $(if $(JOBS),-jobs $(JOBS))

# $(call build,module,package) builds a program of this repository.
define build
mkdir -p $(TOOLS)
go -C $(1) build -buildvcs=false -o $(TOOLS)/$(notdir $(2)) ./$(2)
endef

# $(call each_module,command) returns the arguments of together for all modules.
each_module = $(foreach module,$(MODULES),'cd $(module); $(1)')

# $(call in_each_module,command) runs a command in all modules. It fails if the
# command fails in any of them.
define in_each_module
echo '-- $@'
$(call build,.,internal/together)
$(TOGETHER) $(call each_module,$(1))
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ## run the payments example. STORE=URL (memory:, redis://, sqlite:, postgres://, mysql://), INPUT=FILE, METRICS=:9090 (for Prometheus)
	@store=$$STORE
	[[ $$store == sqlite:* && $$store != sqlite:[/:]* && $$store != sqlite: ]] && store=sqlite:$$PWD/$${store#sqlite:}
	args=(-store "$$store")
	input=$$INPUT
	if [[ -n $$input ]]; then
		[[ $$input == /* || $$input == - ]] || input=$$PWD/$$input
		args+=(-input "$$input")
	fi
	[[ -z $$METRICS ]] || args+=(-metrics "$$METRICS")
	go -C examples run ./payments demo "$${args[@]}"

.PHONY: demo-unknown
demo-unknown: ## kill servers in mid-payment; reconcilers settle the records. STORE=URL (default: temporary SQLite), CONSOLE=1 (with the console)
	@store=$$STORE
	[[ $$store == memory: ]] && store=
	[[ $$store == sqlite:* && $$store != sqlite:[/:]* && $$store != sqlite: ]] && store=sqlite:$$PWD/$${store#sqlite:}
	args=(-store "$$store")
	[[ -n $$CONSOLE && $$CONSOLE != 0 ]] && args+=(-console)
	go -C examples run ./payments unknown "$${args[@]}"

.PHONY: demo-orders
demo-orders: ## run the orders example: 500 orders through four services that are killed at random
	@go -C examples run ./orders demo

.PHONY: demo-http
demo-http: ## run the shop example: 300 orders over net/http, Connect, a gateway and curl. WITHOUT=1 (without the kit)
	@args=()
	[[ -z $$WITHOUT || $$WITHOUT == 0 ]] || args+=(-without)
	go -C examples run ./shop "$${args[@]}"

.PHONY: demo-consumer
demo-consumer: ## run the consumer example: 1,000 messages over NATS JetStream while its processes are killed
	@go -C examples/consumer run . demo

# Test binaries are not vetted, because `make check` does so. They have no debug
# tables, which halves the time of linking.
# The C code of SQLite keeps its data outside of the memory of Go, where the
# race detector does not look. Without instrumentation it takes half the time.
NOT_C     := -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false
GO_TEST   := go test -vet=off -ldflags=-w
RACE_TEST := $(GO_TEST) -race $(NOT_C) -count=1 -timeout 30m

# The race detector makes tests six times slower. It finds nothing in packages
# without goroutines, so ONE_BY_ONE are tested without it. In fingerprint, only
# the tests with Concurrently in their names use it. The race detector allocates,
# so tests with Allocations in their names are built without it.
# ALONE is tested without it, too: the module compiles Prometheus, which would
# take minutes.
ALONE      := ./otel/internal/alerts
ONE_BY_ONE := $(addprefix ./internal/,apilist faultrows guarantees httprules imports keytime model outcome pages release \
	report testedon uuid)
SLOWEST    := ./internal/sqlstoretest ./examples ./internal/sqlcrash ./internal/chaos ./examples/clients

# LATER are tests that make soak runs, and make test does not. They take minutes,
# and repeat tests of make test with another client, table or database.
LATER      := TestContractSealedWithTransactions|TestContractOnATableThatIsPartitionedByHash|TestContractWithAnAutoPipeliner|TestEveryOrderHappensOnceOnPostgreSQL

# The tests of all packages share two database servers, which run as long as
# withservers. exec replaces the shell, so that make interrupts withservers.
# GORACE: a process with the race detector sleeps for a second when it ends, so
# that late goroutines can be seen. Here goleak looks for them.
.PHONY: test
test: c-compiler servers languages browser other-servers ## run all tests but the long ones of make soak, with the race detector where it helps. JOBS=2 (modules at a time)
	@echo '-- $@'
	$(call build,.,internal/together)
	$(call build,internal/sqltest,withservers)
	export CGO_ENABLED=1 GORACE=atexit_sleep_ms=0
	commands=$$($(TOOLS)/testedon commands test $(RACE_TEST))
	mapfile -t on_other_servers <<<"$$commands"
	exec $(TOOLS)/withservers $(TOGETHER) \
		'all=$$(go list ./...); others=$$(go list ./fingerprint $(ONE_BY_ONE)); $(RACE_TEST) -skip "$(LATER)" $$(grep -vxF "$$others" <<<"$$all")' \
		$(foreach module,$(SLOWEST),'cd $(module); $(RACE_TEST) -skip "$(LATER)" ./...') \
		"$${on_other_servers[@]}" \
		$(foreach module,$(filter-out . $(SLOWEST) $(ALONE),$(MODULES)),'cd $(module); $(RACE_TEST) ./...') \
		$(foreach module,$(ALONE),'cd $(module); $(GO_TEST) -count=1 ./...') \
		'$(RACE_TEST) -run Concurrently ./fingerprint' \
		'$(GO_TEST) -count=1 -skip Concurrently ./fingerprint $(ONE_BY_ONE)' \
		'cd ./bench; $(GO_TEST) -count=1 -run Allocations ./...'

# The newest servers are not part of make test: they come from Debian's testing
# and unstable distributions, which change every day.
.PHONY: test-servers
test-servers: c-compiler servers ## test the stores on newer servers, which are downloaded. SERVERS=valkey-9,postgresql-18,mysql-9
	@echo '-- $@'
	$(call build,.,internal/together)
	$(call build,.,internal/testedon)
	$(call build,internal/sqltest,withservers)
	$(TOOLS)/testedon fetch $(SERVERS)
	export CGO_ENABLED=1 ONLYONCE_TEST_SERVERS
	ONLYONCE_TEST_SERVERS=$$($(TOOLS)/testedon releases $(SERVERS))
	commands=$$($(TOOLS)/testedon commands $(SERVERS) $(RACE_TEST) -timeout 1h)
	mapfile -t on_servers <<<"$$commands"
	exec $(TOOLS)/withservers $(TOGETHER) "$${on_servers[@]}"

FAST := . ./fingerprint ./interceptor ./retry ./store ./store/memstore

.PHONY: test-fast
test-fast: ## run the tests that need neither servers nor a C compiler
	@$(GO_TEST) $(FAST)

# The oldest Go and the oldest modules are those of go.mod.
.PHONY: test-floors
test-floors: ## run make test-fast with the oldest Go that go.mod allows
	@echo '-- $@'
	export GOTOOLCHAIN=go$$(go list -m -f '{{.GoVersion}}')
	$(GO_TEST) -count=1 $(FAST)

.PHONY: test-newest
test-newest: export GOTOOLCHAIN := go$(NEWEST_GO)
test-newest: ## run make test-fast with the newest Go and the newest modules
	@echo '-- $@'
	mkdir -p $(TOOLS)
	for file in mod sum; do cp go.$$file $(TOOLS)/newest.$$file; done
	go get -modfile=$(TOOLS)/newest.mod -u -t ./...
	$(GO_TEST) -modfile=$(TOOLS)/newest.mod -count=1 $(FAST)

# Another installation may have the lock: wait for it, for 300 s.
APT_INSTALL := apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends

# The race detector needs a C compiler and the C library's headers.
.PHONY: c-compiler
c-compiler:
	@works() {
		echo '#include <stdlib.h>' | $$(CGO_ENABLED=1 go env CC) -x c -c -o /dev/null - >/dev/null 2>&1
	}
	if works; then exit 0; fi
	if [[ -f /etc/debian_version && $$(id -u) == 0 ]]; then
		export DEBIAN_FRONTEND=noninteractive
		{ apt-get update -q && $(APT_INSTALL) gcc libc6-dev; } || true
		if works; then exit 0; fi
	fi
	echo 'make test: the race detector needs a C compiler and the C headers; install gcc and libc6-dev, or what your system calls them' >&2
	exit 1

# The tests start their own servers on free ports. This target installs the server
# packages, after the C compiler, because apt runs one installation at a time.
# Installed servers do not start by themselves. Existing packages stay as they are.
.PHONY: servers
servers: c-compiler
	@works() {
		case $$1 in
		redis-server) command -v redis-server ;;
		pgbouncer) PATH=$$PATH:/usr/sbin command -v pgbouncer ;;
		postgresql) command -v postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' ;;
		mariadb-server) PATH=$$PATH:/usr/sbin command -v mariadbd ;;
		nginx) PATH=$$PATH:/usr/sbin command -v nginx ;;
		rabbitmq-server) PATH=$$PATH:/usr/sbin command -v rabbitmq-server ;;
		curl) command -v curl ;;
		esac >/dev/null
	}
	find_missing() {
		missing=()
		for server in redis-server postgresql pgbouncer mariadb-server nginx rabbitmq-server curl; do
			works "$$server" || missing+=("$$server")
		done
	}
	find_missing
	if [[ -n $${missing[*]} && -f /etc/debian_version && $$(id -u) == 0 ]]; then
		export DEBIAN_FRONTEND=noninteractive
		policy=/usr/sbin/policy-rc.d
		if [[ ! -e $$policy ]]; then
			trap 'rm -f "$$policy"' EXIT
			install -m 755 /dev/stdin "$$policy" <<<$$'#!/bin/sh\nexit 101'
		fi
		add() { $(APT_INSTALL) "$${missing[@]}"; }
		add || { apt-get update -q && add; } || true
		find_missing
	fi
	if [[ -z $${missing[*]} ]]; then exit 0; fi
	echo "make test: the tests need servers to start, redis-server 7.0, postgres 15, pgbouncer 1.18, mariadbd 10.11, nginx 1.22, rabbitmq-server 3.10, or newer, and curl; install $${missing[*]}, or what your system calls them" >&2
	exit 1

# Download the servers that the system lacks once, instead of in several test
# packages.
.PHONY: other-servers
other-servers: servers
	@$(call build,.,internal/testedon)
	$(TOOLS)/testedon fetch test

# For the tests of clients in other languages and of tools for .proto files: buf,
# Node.js with the packages of a lockfile, and the system's Python. This runs after
# the servers, because apt runs one installation at a time.
NODE_CLIENT := examples/clients/node

.PHONY: languages
languages: servers $(TOOLS)/.buf@$(BUF_VERSION) $(NODE_CLIENT)/node_modules/.package-lock.json

.PHONY: languages-packages
languages-packages: servers
	@works() {
		case $$1 in
		nodejs) node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' ;;
		npm) npm --version ;;
		python3-grpcio) python3 -c 'import grpc' || /usr/bin/python3 -c 'import grpc' ;;
		python3-grpc-tools) python3 -c 'import grpc, grpc_tools.protoc' || /usr/bin/python3 -c 'import grpc, grpc_tools.protoc' ;;
		esac >/dev/null 2>&1
	}
	find_missing() {
		missing=()
		for package in nodejs npm python3-grpcio python3-grpc-tools; do
			works "$$package" || missing+=("$$package")
		done
	}
	find_missing
	if [[ -n $${missing[*]} && -f /etc/debian_version && $$(id -u) == 0 ]]; then
		export DEBIAN_FRONTEND=noninteractive
		add() { $(APT_INSTALL) "$${missing[@]}"; }
		add || { apt-get update -q && add; } || true
		find_missing
	fi
	if [[ -z $${missing[*]} ]]; then exit 0; fi
	echo "make test: the tests call servers from Node.js 18 or newer and from Python 3 with grpcio and grpcio-tools; install $${missing[*]}, or what your system calls them" >&2
	exit 1

$(NODE_CLIENT)/node_modules/.package-lock.json: $(NODE_CLIENT)/package-lock.json | languages-packages
	@if ! npm ci --prefix $(NODE_CLIENT) --ignore-scripts --no-audit --no-fund --loglevel=error; then
		echo 'make test: npm cannot install the packages of $(NODE_CLIENT)/package-lock.json: see the error above, and whether npm reaches its registry' >&2
		exit 1
	fi
	touch $@

# The tests of the console use Chromium. It is installed last, for the same reason.
.PHONY: browser
browser: languages-packages
	@works() {
		command -v chromium || command -v chromium-browser || command -v google-chrome
	} >/dev/null
	if works; then exit 0; fi
	if [[ -f /etc/debian_version && $$(id -u) == 0 ]]; then
		export DEBIAN_FRONTEND=noninteractive
		add() { $(APT_INSTALL) chromium; }
		add || { apt-get update -q && add; } || true
		if works; then exit 0; fi
	fi
	echo 'make test: the tests of the console need a browser; install chromium, or what your system calls it' >&2
	exit 1

.PHONY: check
check: check-format check-vet check-tidy check-proto check-generated check-build check-prose check-lint ## run all static checks: format, vet, lint, tidy, protos, generated code, build, prose

.PHONY: check-format
check-format:
	@echo '-- $@'
	unformatted=$$(gofmt -l .)
	if [[ -n $$unformatted ]]; then
		printf 'not formatted, run make tidy:\n%s\n' "$$unformatted" >&2
		exit 1
	fi

.PHONY: check-vet
check-vet:
	@$(call in_each_module,go vet ./...)

.PHONY: check-tidy
check-tidy:
	@$(call in_each_module,go mod tidy -diff)

.PHONY: check-build
check-build:
	@$(call in_each_module,go build -buildvcs=false -o /dev/null ./...)

.PHONY: check-lint
check-lint: $(TOOLS)/.golangci-lint@$(GOLANGCI_LINT_VERSION)
	@$(call in_each_module,$(TOOLS)/golangci-lint run --config $(CURDIR)/.golangci.yml ./...)

# vale contains C parsers for many languages. Compiling them with optimization
# takes minutes, and vale is fast enough without.
.PHONY: check-prose
check-prose: export CGO_CFLAGS := -O0 -g0
check-prose: c-compiler $(TOOLS)/.vale@$(VALE_VERSION)
	@echo '-- $@'
	find . \( -name '.?*' -o -name node_modules -o -name testdata \) -prune -o \
		\( -name '*.md' -o -name '*.go' ! -name '*.pb*.go' \) -print0 | xargs -0 $(TOOLS)/vale --output=line
	# The rules find each of our worst sentences.
	worst=internal/pages/testdata/worst.md
	found=$$($(TOOLS)/vale --output=line $$worst | cut -d: -f2 | sort -nu || true)
	if ! diff <(awk 'NR > 4 && NF { print NR }' $$worst) <(echo "$$found") >&2; then
		echo "the rules in .vale do not find these lines of $$worst" >&2
		exit 1
	fi

# The baseline contains the released messages of the kit. Messages of examples may
# change.
.PHONY: check-proto
check-proto: $(TOOLS)/.buf@$(BUF_VERSION)
	@echo '-- $@'
	$(TOOLS)/buf lint
	$(TOOLS)/buf format --diff --exit-code
	if [[ ! -f proto/baseline.binpb ]]; then
		echo 'proto/baseline.binpb is missing: run make baseline and commit it' >&2
		exit 1
	fi
	$(TOOLS)/buf breaking proto --against proto/baseline.binpb

# Generates into an empty folder and compares both ways. This also finds code
# without a .proto.
.PHONY: check-generated
check-generated: $(TOOLS)/.buf@$(BUF_VERSION) \
		$(TOOLS)/.protoc-gen-go@$(PROTOC_GEN_GO_VERSION) \
		$(TOOLS)/.protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC_VERSION) \
		$(TOOLS)/.protoc-gen-grpc-gateway@$(PROTOC_GEN_GRPC_GATEWAY_VERSION)
	@echo '-- $@'
	tmp=$$(mktemp -d)
	trap 'rm -rf "$$tmp"' EXIT
	mkdir "$$tmp/generated" "$$tmp/committed"
	$(TOOLS)/buf generate --output "$$tmp/generated"
	find . -name '.?*' -prune -o -name '*.pb*.go' -print | while read -r file; do
		mkdir -p "$$tmp/committed/$$(dirname "$$file")"
		cp "$$file" "$$tmp/committed/$$file"
	done
	if ! (cd "$$tmp"; diff -ru committed generated >&2); then
		echo 'generated code is not up to date: run make generate' >&2
		exit 1
	fi

.PHONY: vulncheck
vulncheck: $(TOOLS)/.govulncheck@$(GOVULNCHECK_VERSION) ## look for known vulnerabilities in called code. Needs access to vuln.go.dev
	@$(call in_each_module,$(TOOLS)/govulncheck ./...)

.PHONY: bench
bench: ## run the benchmarks, up to ten minutes on an idle machine. ROUNDS=5 (runs of each)
	@go -C bench test -count=1 ./...
	go -C bench run . -rounds $(ROUNDS)

.PHONY: api
api: ## write the exported API of all packages into api/, after an intended change
	@go run ./internal/apilist

.PHONY: speed
speed: ## run the benchmarks and write docs/speed.md
	@mkdir -p $(TOOLS)
	go -C bench run . -rounds $(ROUNDS) > $(TOOLS)/speed.md
	mv $(TOOLS)/speed.md docs/speed.md

.PHONY: generate
generate: $(TOOLS)/.buf@$(BUF_VERSION) \
		$(TOOLS)/.protoc-gen-go@$(PROTOC_GEN_GO_VERSION) \
		$(TOOLS)/.protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC_VERSION) \
		$(TOOLS)/.protoc-gen-grpc-gateway@$(PROTOC_GEN_GRPC_GATEWAY_VERSION)
generate: ## generate code from the .proto files
	@$(TOOLS)/buf format --write
	$(TOOLS)/buf generate

.PHONY: baseline
baseline: $(TOOLS)/.buf@$(BUF_VERSION) ## record the protos of a release, the baseline for breaking changes
	@$(TOOLS)/buf build proto --exclude-source-info --output proto/baseline.binpb

# The tests on databases also run on MySQL if the environment names a server.
WITH_MYSQL := ONLYONCE_TEST_SERVERS=mysql-9

.PHONY: release
release: ## commit and tag a version of all modules, without pushing: see CONTRIBUTING.md. VERSION=v0.1.0
	@go run ./internal/release '$(VERSION)'

.PHONY: conformance
conformance: ## run the conformance suite of Connect with and without our interceptors, 15 minutes
	@go -C connect/conformance run .

# The tests of folders of any modules. -exec puts the program in front of the
# tests, so that the compiler does not stand still.
.PHONY: standstill
standstill: servers ## run the tests of folders on a machine that stands still at times. PKG=./oncehttp/..., RUN=10s, STOP=3s (mean and length)
	@$(call build,.,internal/standstill)
	for package in $(PKG); do
		folder=$${package%/...}
		printf -- '-- %s %s\n' '$@' "$$package"
		go -C "$$folder" test -vet=off -count=1 -p 1 -timeout 2h -exec '$(TOOLS)/standstill -run $(RUN) -stop $(STOP)' ".$${package#"$$folder"}"
	done

.PHONY: soak
soak: test-servers test-floors test-newest ## run the long tests: all that make test leaves out, model, random runs, kills, standstills, fuzzing. RUNS=200000, REDIS_RUNS=200, SQL_RUNS=50 (random runs), KILLS=500, FUZZTIME=1m
	@$(MAKE) test-servers SERVERS=soak
	for module in . ./internal/sqlstoretest ./examples; do
		printf -- '-- %s what make test leaves out of %s\n' '$@' "$$module"
		(cd "$$module"; CGO_ENABLED=1 GORACE=atexit_sleep_ms=0 $(RACE_TEST) -timeout 1h -run '$(LATER)' ./...)
	done
	printf -- '-- %s the model with three calls\n' '$@'
	go test -count=1 -timeout 1h ./internal/model -calls 3
	printf -- '-- %s services that use a release\n' '$@'
	go test -count=1 -timeout 1h -run TestTheModulesOfAVersion ./internal/release -build
	printf -- '-- %s random runs\n' '$@'
	go -C internal/chaos test -count=1 -timeout 1h -run 'TestRandomRuns$$' . -runs $(RUNS) -seed $$RANDOM
	printf -- '-- %s random runs on Redis\n' '$@'
	go -C internal/chaos test -count=1 -timeout 1h -run TestRandomRunsOnRedis . -redis-runs $(REDIS_RUNS) -seed $$RANDOM
	printf -- '-- %s random runs on SQL\n' '$@'
	$(WITH_MYSQL) go -C internal/chaos test -count=1 -timeout 2h -run TestRandomRunsOnSQL . -sql-runs $(SQL_RUNS) -seed $$RANDOM
	printf -- '-- %s a flood of keys\n' '$@'
	go test -count=1 -timeout 1h -run TestF45KeyFlood ./internal/crash -flood 100000
	printf -- '-- %s servers killed on Redis\n' '$@'
	go test -count=1 -timeout 1h -run 'TestF01F03F05ServersAreKilledAndRestarted|TestF49Reconcilers' ./internal/crash -kills 50 -unsettled 1000
	printf -- '-- %s races on Redis\n' '$@'
	go test -count=1 -timeout 1h -run TestF18ExactlyOne ./store/redisstore -races 10000
	printf -- '-- %s servers killed on databases\n' '$@'
	$(WITH_MYSQL) go -C internal/sqlcrash test -count=1 -timeout 1h -run 'AlthoughServersAreKilled|TestF49Reconcilers' . -kills $(KILLS) -unsettled 1000
	printf -- '-- %s races on databases\n' '$@'
	$(WITH_MYSQL) go -C internal/sqlstoretest test -count=1 -timeout 1h -run 'TestF18|TestF49' . -races 1000
	$(MAKE) standstill
	printf -- "-- %s connect's conformance suite\n" '$@'
	go -C connect/conformance run .
	for module in $(MODULES); do
		# `go test -list` prints the targets of a package, then its name.
		targets=$$(cd "$$module"; go test -list '^Fuzz' ./... | awk '
			/^Fuzz/ { names[n++] = $$1 }
			/^ok/   { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }')
		while read -r package name; do
			[[ -n $$name ]] || continue
			printf -- '-- %s %s %s\n' '$@' "$$package" "$$name"
			(cd "$$module"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime '$(FUZZTIME)' "$$package" </dev/null)
		done <<<"$$targets"
	done

.PHONY: tidy
tidy: $(TOOLS)/.golangci-lint@$(GOLANGCI_LINT_VERSION) ## tidy all go.mod files and format all Go code
	@$(call in_each_module,go mod tidy)
	$(TOOLS)/golangci-lint fmt --config $(CURDIR)/.golangci.yml

# $(call install,name,package,version) installs .tools/name. The stamp file
# .tools/.name@version records the version.
define install
$(TOOLS)/.$(1)@$(3):
	@echo 'installing $(1) $(3)'
	mkdir -p '$(TOOLS)'
	GOBIN='$(TOOLS)' go install '$(2)@$(3)'
	rm -f '$(TOOLS)/.$(1)@'*
	touch '$$@'
endef

$(eval $(call install,buf,github.com/bufbuild/buf/cmd/buf,$(BUF_VERSION)))
$(eval $(call install,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_LINT_VERSION)))
$(eval $(call install,vale,github.com/vale-cli/vale/v3/cmd/vale,$(VALE_VERSION)))
$(eval $(call install,govulncheck,golang.org/x/vuln/cmd/govulncheck,$(GOVULNCHECK_VERSION)))
$(eval $(call install,protoc-gen-go,google.golang.org/protobuf/cmd/protoc-gen-go,$(PROTOC_GEN_GO_VERSION)))
$(eval $(call install,protoc-gen-grpc-gateway,github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway,$(PROTOC_GEN_GRPC_GATEWAY_VERSION)))
$(eval $(call install,protoc-gen-go-grpc,google.golang.org/grpc/cmd/protoc-gen-go-grpc,$(PROTOC_GEN_GO_GRPC_VERSION)))
