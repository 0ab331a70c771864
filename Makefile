# `make` alone lists what there is.
PYTHON ?= .venv/bin/python
BIN = $(dir $(PYTHON))
PROTOS = $(wildcard proto/v1/*.proto)
SERVICES = $(shell grep -l '^service ' $(PROTOS))

# Peers and generators: the command and the Debian package that has it.
PEERS = wrk:wrk nginx:nginx redis-server:redis-server redis-benchmark:redis-tools nghttpd:nghttp2-server h2load:nghttp2-client \
	nsd:nsd dnsperf:dnsperf

.PHONY: help check format proto bench bench-large demo-federation demo-city container-test
help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

check:           ## format, lint, types, import contracts, generated code, fast tests: under a minute
	$(BIN)ruff format --check .
	$(BIN)ruff check .
	$(BIN)mypy .
	$(BIN)lint-imports
	$(PYTHON) -m pytest -q -n 4 -m "not slow" --hypothesis-profile=brief tests/test_repo.py tests/unit tests/contract tests/property

format:          ## format and mend what the linter can
	$(BIN)ruff format .
	$(BIN)ruff check --fix .

proto:           ## generate the stubs from proto/v1/*.proto
	PATH="$(abspath $(BIN)):$$PATH" $(PYTHON) -m grpc_tools.protoc -I. --python_out=. --mypy_out=. $(PROTOS)
	PATH="$(abspath $(BIN)):$$PATH" $(PYTHON) -m grpc_tools.protoc -I. --grpc_python_out=. --mypy_grpc_out=. $(SERVICES)

container-test:  ## build the image on a Debian of its own and serve from it; as root, two minutes, not part of ./test
	. deploy/setup.sh && need_programs podman:podman runc:runc catatonit:catatonit debootstrap:debootstrap && set_up '.[dev]'
	$(PYTHON) -m pytest -q tests/container

bench:           ## measure beside peers; writes load_tests/results/ and the table in README.md: under ten minutes
	. deploy/setup.sh && need_programs $(PEERS)
	$(PYTHON) -m load_tests

bench-large:     ## ten million identifiers, another node's answers: ten minutes, 15 GB in the temporary folder
	$(PYTHON) -m load_tests large foreign

demo-federation: ## five nodes on this machine, an identifier resolved through all of them, one lost and found
	. deploy/setup.sh && set_up .
	$(BIN)biaojie demo federation

demo-city:       ## an enterprise's database and every system of the city, with all that can go wrong between them
	. deploy/setup.sh && need_programs redis-server:redis-server psql:postgresql && set_up .
	$(BIN)biaojie demo city
