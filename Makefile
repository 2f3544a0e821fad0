# `make serve` and `make test` work on a fresh machine with a Rust toolchain, make and a C compiler. The data set is Debian's
# package `dataset-fashion-mnist`, downloaded and unpacked without root.

DATASET := $(if $(SPIKELENS_DATASET),$(SPIKELENS_DATASET),dataset/fashion-mnist)
DATA_DIR := $(if $(SPIKELENS_DATA_DIR),$(SPIKELENS_DATA_DIR),data)
PHOTOS := dataset/clothing
PHOTOS_DATA_DIR := $(if $(SPIKELENS_DATA_DIR),$(SPIKELENS_DATA_DIR),data-photos)
SPIKELENS := target/release/spikelens
export SPIKELENS_DATASET := $(abspath $(DATASET))

# The tests that run over both stores: those of what a store answers, but for what looks into a data directory.
ON_POSTGRESQL := api:: clients:: crash:: duplicates:: feeds:: imports:: keys:: metrics:: \
  products:: queries:: reembedding:: scopes:: sources:: status:: writes:: \
  --skip openapi:: --skip a_second_start_loads_the_stored_index --skip returning_to_the_old_model_half_way \
  --skip the_use_of_a_database_is_counted --skip the_status_page_says_which_store

.PHONY: help serve photos check test clients postgres chromium guides dataset build lint doc unit deny container model paper bench aarch64 sanitize clean

help:
	@echo "make serve    download Fashion-MNIST, build, index its 60,000 training pictures, serve on 127.0.0.1:8080"
	@echo "make photos   the same with 3,068 colour photos of clothes, copied or cloned into $(PHOTOS)"
	@echo "make test     everything that CI checks"
	@echo "make check    formatting, clippy and the unit tests; quick"
	@echo "make container  build docker/Dockerfile and run it"
	@echo "make model    train, convert and tune the models in models/ again (three hours on two idle cores; MODEL=clothing
	@echo "              makes that one alone)"
	@echo "make paper    reproduce the paper's tables and figures in docs/paper (long; resumes after an interruption;"
	@echo "              QUICK=1 takes a few minutes and writes to another directory)"
	@echo "make bench    measure speed and memory, write tables to benches/record (about 14 minutes on an idle machine;"
	@echo "              BENCH=--quick takes one minute; needs python3 with venv)"
	@echo "make dataset  download Fashion-MNIST only"
	@echo "make aarch64  test the NEON kernel under QEMU"
	@echo "make sanitize test the kernels under AddressSanitizer, with a nightly toolchain"

serve: dataset build
	$(SPIKELENS) import $(DATASET) --data-dir $(DATA_DIR) --resume
	exec $(SPIKELENS) serve --data-dir $(DATA_DIR)

# The photos of its validation and test stay out of the catalogue, to be searched with. A catalogue that exists keeps its
# network.
photos: build
	@scripts/photos.sh $(PHOTOS)
	$(SPIKELENS) import $(PHOTOS)/train.csv --data-dir $(PHOTOS_DATA_DIR) --resume \
	  $(if $(wildcard $(PHOTOS_DATA_DIR)/catalogue.sqlite3),,--model clothing)
	exec $(SPIKELENS) serve --data-dir $(PHOTOS_DATA_DIR)

# Quick checks after an edit; `make test` adds the real server, browser, clients and documents.
check: lint
	cargo test --locked --workspace --lib

test: dataset clients postgres chromium guides lint doc unit deny
	@echo "all checks passed"

build:
	cargo build --release --locked

lint:
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet

unit:
	cargo test --locked --test it
	SPIKELENS_TEST_STORE=postgresql cargo test --locked --test it -- $(ON_POSTGRESQL)
	cargo test --locked --workspace --features train,otlp --lib
	cargo check --locked --no-default-features

deny:
	scripts/deny.sh

clients:
	@scripts/clients.sh

postgres:
	@scripts/postgres.sh

guides:
	@scripts/guides.sh

dataset:
	@scripts/dataset.sh $(DATASET)

chromium:
	@scripts/chromium.sh

container:
	scripts/container.sh

model: dataset
	cargo build --release --locked --features train
	scripts/model.sh $(DATASET) $(MODEL)

paper: dataset
	cargo build --release --locked --features train
	$(SPIKELENS) evaluate --paper --dataset $(DATASET) $(if $(QUICK),--quick)

aarch64: dataset
	scripts/aarch64.sh

sanitize: dataset
	scripts/sanitize.sh

bench: dataset
	cargo bench --locked --bench bench -- $(BENCH)

clean:
	cargo clean
