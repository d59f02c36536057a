# The one door: `make` lists what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO := cargo
BUILT := $(abspath $(or $(CARGO_TARGET_DIR),target))
# Features are those of all that cargo is asked to build. Tests of one package would build what the
# others have in common anew, so they are chosen among those of the workspace.
TEST := $(CARGO) test --workspace --locked
STACK := .devstack
export GAMECAST_DIST ?= $(CURDIR)/$(STACK)/dist

##@ Try it

.PHONY: demo
demo: ## Start everything with live odds and print the page's URL; CLUSTER=kind for one in kind
ifeq ($(CLUSTER),kind)
	demo/kind
else
	demo/check
	$(MAKE) --no-print-directory release web
	demo/up
endif

.PHONY: down
down: ## Stop what `make demo` started; data stays in .devstack
	demo/down

##@ Build

.PHONY: build
build: ## Build all programs for debugging
	$(CARGO) build --workspace --locked

.PHONY: release
release: ## Build the programs for use
	$(CARGO) build --release --locked -p operator -p fanout -p api -p devstack

.PHONY: images
images: release web ## The images of the Dockerfile, without a registry: target/images/release/*.tar; takes root
	images/programs-sbom $(BUILT)/images/release/sbom
	images/connect-sbom $(BUILT)/images/release/sbom
	cd web && npm run -s sbom >$(BUILT)/images/release/sbom/page.cdx.json
	$(BUILT)/release/devstack install --only connect
	images/build release operator fanout api connect

.PHONY: web
web: web/dist/index.html ## Build the page

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

web/dist/index.html: web/node_modules/.package-lock.json $(shell find web/src web/public web/index.html web/vite.config.ts -type f 2>/dev/null)
	cd web && npm run build
	touch $@

.PHONY: crds
crds: ## Write the custom resource definitions again
	-$(CARGO) test -q -p crds --test generated
	$(CARGO) test -q -p crds --test generated

##@ Check

.PHONY: test
test: lint test-unit fuzz test-web test-chart e2e e2e-mysql e2e-cluster ## Everything: lints, unit tests, the page, the chart, the real servers, a cluster

.PHONY: lint
lint: ## Formatting, clippy, the architecture's dependency rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	./lint/architecture
	cd lint/kind && GOWORK=off go run . ../../kind-config.yaml

.PHONY: test-unit
test-unit: ## Tests that need no server
	$(TEST) --lib --bins
	$(TEST) --exclude e2e --exclude devstack --test '*'
	$(TEST) --doc

SECONDS ?= 60

.PHONY: fuzz
fuzz: ## Feed what clients send with anything, for SECONDS=60 in all
	fuzz/run $(SECONDS)

.PHONY: test-web
test-web: web/node_modules/.package-lock.json ## Types, lints and tests of the page
	cd web && npm run check && npm test

.PHONY: test-chart
test-chart: build ## Lints and tests of the chart, and a real API server that takes what it renders
	charts/test

.PHONY: e2e
e2e: build web e2e-node browser ## Tests on the real servers: MySQL, Kafka, Connect, Kubernetes, Chromium
	$(BUILT)/debug/devstack install
	$(TEST) --test stack --test node
	$(TEST) --test e2e --test ha --test resume --test security --test torture -- $(TESTS)
	$(if $(TESTS),,$(BUILT)/debug/scenarios --pairwise --outage 3)

.PHONY: e2e-mysql
e2e-mysql: build web e2e-node browser ## Those that MySQL has a part in, on the newest that Debian has instead of 8.0
	e2e/newest-mysql $(TESTS)

.PHONY: e2e-cluster
e2e-cluster: build web e2e-node browser ## Images, chart and ingress in a cluster of one node; takes root on Linux
	e2e/cluster

.PHONY: torture
torture: build ## 100 rounds of kills and restarts under load, clients compared with Kafka
	$(BUILT)/debug/devstack install
	$(BUILT)/debug/torture --rounds $(or $(ROUNDS),100)

.PHONY: test-ha
test-ha: build ## Two operators: handing over, frozen leaders, ROUNDS=20 leaders killed under changes
	$(BUILT)/debug/devstack install
	GAMECAST_HA_ROUNDS=$(or $(ROUNDS),20) $(TEST) --test ha -- --nocapture $(TESTS)

.PHONY: test-all
test-all: build ## Every fault with every change, some 45 minutes; SCENARIOS="--pairwise --outage 6" for some
	$(BUILT)/debug/devstack install
	$(BUILT)/debug/scenarios $(SCENARIOS)

.PHONY: e2e-node
e2e-node: e2e/node/node_modules/.package-lock.json

e2e/node/node_modules/.package-lock.json: e2e/node/package-lock.json
	cd e2e/node && npm ci --no-audit --no-fund
	touch $@

.PHONY: browser
browser:
	./e2e/browser

.PHONY: deny
deny: ## Licences and sources of what is built in (needs cargo-deny)
	cargo-deny --offline check licenses bans sources

.PHONY: bench-pipeline
bench-pipeline: release ## From COMMIT to WebSocket, and from apply to Ready, in figures
	$(BUILT)/release/devstack install
	$(CARGO) run --release --locked -p bench --bin pipeline

.PHONY: bench-churn
bench-churn: build ## Restarting the connector after many games were made and dropped, in figures
	$(BUILT)/debug/devstack install
	$(BUILT)/debug/churn

.PHONY: bench-operator
bench-operator: ## What 100, 300 and 1,000 Games cost the operator; GAMES=100,300,1000
	$(CARGO) build --release --locked -p bench -p devstack -p operator --bin devstack --bin operator --bin scale
	$(BUILT)/release/devstack install
	$(BUILT)/release/scale --details $(if $(GAMES),--games $(GAMES))

.PHONY: bench-compression
bench-compression: ## What permessage-deflate costs and saves, in figures
	$(CARGO) run --release --locked -p bench --bin compression

.PHONY: bench-fanout
bench-fanout: ## Serving clients, beside the floor, in figures; SCENARIO="hot idle" for some of it
	$(CARGO) build --release --locked -p bench -p devstack -p fanout --bin devstack --bin fanout --bin floor --bin serving
	$(BUILT)/release/devstack install
	# Ten thousand topics need more heap than a small broker has.
	_JAVA_OPTIONS=-Xmx1g $(BUILT)/release/serving $(SCENARIO)

.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
