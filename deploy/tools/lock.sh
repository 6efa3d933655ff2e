#!/bin/sh
# Writes requirements.lock from the pyproject.toml files: every version with its hashes, no address of any registry.
#   lock.sh          resolves again, keeping the versions that still fit
#   lock.sh --check  fails when the lock does not satisfy the pyproject.toml files
set -eu
cd "$(dirname "$0")/../.."
UV=.tools/uv/bin/uv
[ -x "$UV" ] || UV=uv
target=requirements.lock
if [ "${1:-}" = --check ]; then
    target=$(mktemp)
    trap 'rm -f "$target"' EXIT
    cp requirements.lock "$target"
fi
set --
for member in penstock penstock-kit penstock-auth penstock-tracking penstock-registry penstock-artifact penstock-gateway penstock-dashboard penstock-local; do
    set -- "$@" --no-emit-package "$member"
done
"$UV" pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --no-header --no-annotate "$@" --group pyproject.toml:dev -o "$target" >/dev/null
if [ "$target" != requirements.lock ] && ! cmp -s "$target" requirements.lock; then
    diff requirements.lock "$target" | grep -E '^[<>] [a-z]' >&2 || true
    echo "requirements.lock is not current: run 'make lock'." >&2
    exit 1
fi
