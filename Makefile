# `make up` on a fresh Debian 12 with a Swift toolchain installs what is missing, builds, and starts Martlet.
# Variables: ARGS (for `martlet up`), PREFIX and DESTDIR (for `install`), FILTER (for `test`), ROUNDS and PROVIDERS (for
# `chaos`), SECONDS (for `fuzz`).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-print-directory

PREFIX ?= /usr/local
# lld: the linker that says nothing of Foundation's use of mktemp, and the faster one.
RELEASE := -c release --static-swift-stdlib -Xswiftc -use-ld=lld -Xlinker --strip-debug
SHELL_SCRIPTS := .ci/run .ci/swift-test .ci/packages .ci/bullmq-clients .ci/schemathesis .ci/playwright Tests/Fuzz/run
PRESERVED := DATABASE_URL,REDIS_URL,XDG_CONFIG_HOME,MARTLET_CREDENTIALS,MARTLET_HOST,MARTLET_PORT,MARTLET_DATA_DIR,$\
	MARTLET_MASTER_KEY,MARTLET_MASTER_KEY_FILE,MARTLET_START_TIMEOUT,MARTLET_ALLOWED_ORIGINS,$\
	MARTLET_METHOD_OVERRIDE,MARTLET_RATE_LIMITS,MARTLET_METRICS,MARTLET_EGRESS_DENY,MARTLET_LOG_LEVEL,MARTLET_LOG_FORMAT,$\
	VM_PROVIDER,$\
	DOCKER_HOST,DOCKER_TLS_VERIFY,DOCKER_CERT_PATH,MARTLET_DOCKER_ADDRESS,MARTLET_IMAGE,OVH_ENDPOINT,$\
	OVH_APPLICATION_KEY,OVH_APPLICATION_SECRET,OVH_CONSUMER_KEY,OVH_CLOUD_PROJECT_SERVICE,OVH_REGION,OVH_SSH_PORT,$\
	MARTLET_PROVISION_CONCURRENCY,MARTLET_CONTROL_CONCURRENCY,MARTLET_JOB_ATTEMPTS,MARTLET_JOB_BACKOFF,$\
	MARTLET_SWEEP_INTERVAL,MARTLET_RECONCILE_INTERVAL,MARTLET_PRUNE_INTERVAL,MARTLET_DRAIN_TIMEOUT,$\
	MARTLET_EXECUTION_RETENTION,MARTLET_AUDIT_RETENTION,MARTLET_UPTIME_RETENTION,MARTLET_RUNNER,MARTLET_RUNTIMES
C_FILES = $(wildcard sandbox/*.c sandbox/*.h sandbox/*/*.c sandbox/*/*.h)

SHOTS ?= /tmp/martlet-pages

.PHONY: up build runner test walls chaos screenshots fuzz check format bench install deps toolchain clean help

help:  ## these lines
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' Makefile | expand -t 12

up: build  ## build and start everything on this machine
	@if [ "$$(id -u)" -eq 0 ] || [[ ",$${VM_PROVIDER:-local}," != *,local,* ]]; then \
		exec .build/release/martlet up $(ARGS); \
	else \
		echo "VMs of the provider 'local' need root:"; \
		exec sudo --preserve-env=$(PRESERVED) .build/release/martlet up $(ARGS); \
	fi

build: deps toolchain runner  ## the release binary and the runner
	@swift build $(RELEASE) --product martlet

runner: deps  ## the program inside each VM
	@$(MAKE) -s -C sandbox

test: toolchain  ## everything, with the packages of all languages
	@.ci/packages --runtimes
	@$(MAKE) -s -C sandbox
	@$(MAKE) -C sandbox test
	@$(if $(FILTER),,$(MAKE) -C sandbox asan-test)
	@$(if $(FILTER),,$(MAKE) -s -C sandbox fuzz SECONDS=20)
	@.ci/swift-test --no-parallel $(if $(FILTER),--filter '$(FILTER)')  # each test loads the machine by itself
	@$(if $(FILTER),,Tests/Fuzz/run --seconds 5)
	@$(if $(FILTER),,Tests/Chaos/chaos --rounds 12 --users 8 --providers local)

walls: toolchain runner  ## attacks the walls around runs at providers local and docker, ATTACKS=name,class
	@MARTLET_ATTACKS='$(ATTACKS)' .ci/swift-test --no-parallel --filter EndToEndTests.WallsTests

chaos: toolchain runner  ## kills parts of it at random under load, ROUNDS=300 times, and looks for broken promises
	@swift build --product martlet
	@Tests/Chaos/chaos --rounds $(or $(ROUNDS),300) --providers $(or $(PROVIDERS),local)

screenshots: toolchain runner  ## pictures of every page, wide and narrow, light and dark, in SHOTS=/tmp/martlet-pages; needs root
	@.ci/playwright
	@swift build --product martlet
	@.build/playwright/environment/bin/python Tests/EndToEndTests/Browser/screenshots.py '$(SHOTS)'

fuzz: toolchain  ## what reads and writes others' bytes, against what libFuzzer makes up, SECONDS=60 each
	@$(MAKE) -s -C sandbox fuzz SECONDS=$(or $(SECONDS),60)
	@swift build --build-tests
	@Tests/Fuzz/run --seconds $(or $(SECONDS),60)

check: toolchain  ## layout, import arrows, shell syntax
	@.ci/check-imports
	@for script in $(SHELL_SCRIPTS); do bash -n "$$script"; done
	@for runtime in runtimes/*/runtime.json; do jq -e . "$$runtime" >/dev/null || { echo "$$runtime: not JSON"; exit 1; }; done
	@swift format lint --strict --recursive --parallel Package.swift Sources Tests
	@if [ -f sandbox/.clang-format ] && command -v clang-format >/dev/null; then clang-format --dry-run -Werror $(C_FILES); fi

format: toolchain  ## lay all sources out
	@swift format --in-place --recursive --parallel Package.swift Sources Tests
	@if [ -f sandbox/.clang-format ] && command -v clang-format >/dev/null; then clang-format -i $(C_FILES); fi

bench: build  ## what Martlet is measured against, in one run
	@swift build $(RELEASE) --product JobQueueProbe
	@Benchmarks/run
	@Benchmarks/queue
	@if [ "$$(id -u)" -eq 0 ]; then Benchmarks/runner; else echo 'Benchmarks/runner needs root: left out.'; fi

install: build  ## under PREFIX (default /usr/local)
	install -D -m 755 .build/release/martlet '$(DESTDIR)$(PREFIX)/bin/martlet'
	install -D -m 755 .build/sandbox/martlet-runner '$(DESTDIR)$(PREFIX)/libexec/martlet/martlet-runner'
	[ ! -e .build/sandbox/martlet-egress ] || \
		install -D -m 755 .build/sandbox/martlet-egress '$(DESTDIR)$(PREFIX)/libexec/martlet/martlet-egress'
	mkdir -p '$(DESTDIR)$(PREFIX)/share/martlet'
	cp -R runtimes sandbox/attacks '$(DESTDIR)$(PREFIX)/share/martlet/'
	rm -rf '$(DESTDIR)$(PREFIX)/share/martlet/pages'
	cp -R Sources/Gateway/Pages/Resources '$(DESTDIR)$(PREFIX)/share/martlet/pages'
	rm -rf '$(DESTDIR)$(PREFIX)/share/martlet/vim'
	cp -R Sources/Client/Editor/Resources/vim '$(DESTDIR)$(PREFIX)/share/martlet/'
	mkdir -p '$(DESTDIR)$(PREFIX)/share/bash-completion/completions'
	.build/release/martlet --generate-completion-script bash \
		>'$(DESTDIR)$(PREFIX)/share/bash-completion/completions/martlet'

deps:  ## the Debian packages that are missing
	@.ci/packages

toolchain:
	@command -v swift >/dev/null || { \
		echo "No 'swift' in PATH. Martlet needs Swift 6.3 or newer: https://www.swift.org/install/linux/ (Debian 12)." >&2; \
		exit 1; }
	@version=$$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1); \
	printf '6.3\n%s\n' "$$version" | sort -V -C || { \
		echo "Swift $$version is too old: Martlet needs 6.3 or newer (https://www.swift.org/install/linux/)." >&2; \
		exit 1; }

clean:  ## what was built
	rm -rf .build
