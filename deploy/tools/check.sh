#!/bin/sh
# Everything that is checked without running the product. Says each check's name; stops at the first that fails.
set -eu
cd "$(dirname "$0")/../.."
step() {
    name=$1
    shift
    if output=$("$@" 2>&1); then
        echo "ok    $name"
    else
        echo "FAIL  $name"
        printf '%s\n' "$output"
        exit 1
    fi
}
breaking() {
    # Against the contract that last landed on main; a first commit has nothing to break.
    base=$(git rev-parse -q --verify origin/main 2>/dev/null || git rev-parse -q --verify HEAD~1 2>/dev/null || true)
    if [ -z "$base" ] || ! git cat-file -e "$base:protos/buf.yaml" 2>/dev/null; then return 0; fi
    before=$(mktemp -d)
    git archive "$base" protos | tar -x -C "$before"
    .venv/bin/buf build "$before/protos" -o "$before/image.binpb" || { rm -rf "$before"; return 1; }
    status=0
    .venv/bin/buf breaking protos --against "$before/image.binpb" || status=1
    rm -rf "$before"
    return $status
}
step "style: ruff check" .venv/bin/ruff check .
step "style: ruff format" .venv/bin/ruff format --check .
step "types: pyrefly" .venv/bin/pyrefly check
step "types: strict for kit and services" .venv/bin/pyrefly check --preset strict services/kit/src services/auth/src services/tracking/src services/registry/src services/artifact/src
step "structure: import-linter" .venv/bin/lint-imports
step "contract: buf lint" .venv/bin/buf lint protos
step "contract: buf format" .venv/bin/buf format -d --exit-code protos --path protos/penstock
step "contract: buf breaking" breaking
step "generated code is current" sh deploy/tools/generate.sh --check
step "the lock is current" sh deploy/tools/lock.sh --check
