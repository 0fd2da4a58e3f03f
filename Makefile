# `make` or `make help` says what there is.

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
TARGET := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET)/release/tcpdrop-otel
CONFIG := $(DESTDIR)$(SYSCONFDIR)/tcpdrop-otel/tcpdrop-otel.toml

help: ## this text
	@echo 'tcpdrop-otel sees every TCP packet that the kernel drops, and ships that over OpenTelemetry.'
	@echo
	@echo 'See it work:      make demo           (as root; without, it shows a recording)'
	@echo 'Install it:       make build && sudo make install'
	@echo '                  sudo systemctl daemon-reload && sudo systemctl enable --now tcpdrop-otel'
	@echo 'Change it:        make test           (as root; without, what needs rights is skipped and counted)'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## the optimised program, target/release/tcpdrop-otel
	cargo build --release

demo: ## make a real drop, and show the record that it becomes
	cargo run --release -- demo

test: setup lint ## all that CI runs; the last line counts the tests
	@tests/run.sh

test-kernels: build ## boot older and newer kernels in QEMU, check the program there, and make a part of the drop zoo (10 minutes)
	cargo build --release --package tcpdrop-otel-tests --bin drop_zoo --bin verifier
	@tests/setup.sh kernels
	@tests/kernels/run.sh $(BINARY) $(dir $(BINARY))drop_zoo $(dir $(BINARY))verifier

fuzz: ## feed each parser damaged input for FUZZ_SECONDS (30); docs/fuzzing.md
	@tests/setup.sh fuzz
	@fuzz/run.sh $(TARGETS)

setup: ## install what the tests need, and build their Collector (done once)
	@tests/setup.sh

lint: ## format, clippy and rustdoc, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet

object: ## check that bpf/tcp_drop.bpf.o is what its sources give
	@$(MAKE) --no-print-directory -C bpf check

bench: setup build ## what the agent costs, beside bpftrace and perf, as root; BENCH=--quick for minutes, BENCH=--help for more
	@TCPDROP_TEST_BIN=$(abspath $(BINARY)) cargo run --release --quiet --package tcpdrop-otel-tests --bin bench -- $(BENCH)

soak: setup build ## ten minutes of storms, restarts and reloads, as root: each drop accounted for, memory flat
	@TCPDROP_TEST_BIN=$(abspath $(BINARY)) cargo run --release --quiet --package tcpdrop-otel-tests --bin soak -- $(SOAK)

install: ## into PREFIX (/usr/local) below DESTDIR: program, configuration, systemd unit
	@[ -x $(BINARY) ] || { echo 'Nothing to install yet: run `make build` first, as an ordinary user.'; exit 1; }
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/tcpdrop-otel
	[ -e $(CONFIG) ] || install -D -m 644 config/tcpdrop-otel.toml $(CONFIG)
	install -d $(DESTDIR)$(UNITDIR)
	sed -e 's|/usr/local/bin/|$(PREFIX)/bin/|' -e 's|/etc/tcpdrop-otel/|$(SYSCONFDIR)/tcpdrop-otel/|' \
		packaging/systemd/tcpdrop-otel.service > $(DESTDIR)$(UNITDIR)/tcpdrop-otel.service
	chmod 644 $(DESTDIR)$(UNITDIR)/tcpdrop-otel.service

.PHONY: help build demo test fuzz test-kernels setup lint object bench soak install
