#!/bin/sh
# Makes .tools/peers, the environment of the tools that Penstock is compared with and imports from, and prints its Python.
#   peers.sh                makes it as peers.lock says: idempotent, quick when nothing changed
#   peers.sh mlflow2        likewise .tools/mlflow2 from mlflow2.lock: a client of MLflow before version 3
#   peers.sh mlflow-skinny  likewise its client without the libraries that it can do without
#   peers.sh --lock [NAME]  resolves NAME.in anew into NAME.lock
#
# Not in .venv: these tools bring a hundred packages, which Penstock's own tests must not lean on. The SDK is in each too, in
# place, so that a benchmark can log through both products from one process.
set -eu
cd "$(dirname "$0")/../.."
UV=.tools/uv/bin/uv
[ -x "$UV" ] || UV=uv
lock=
if [ "${1:-}" = --lock ]; then
    lock=yes
    shift
fi
NAME=${1:-peers}
LOCK=deploy/tools/$NAME.lock
PEERS=.tools/$NAME
if [ -n "$lock" ]; then
    override=$(mktemp)
    trap 'rm -f "$override"' EXIT
    grep '^mlflow' "deploy/tools/$NAME.in" >"$override"
    "$UV" pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        --no-header --no-annotate --override "$override" "deploy/tools/$NAME.in" sdk/pyproject.toml -o "$LOCK" >/dev/null
    exit 0
fi
WANTED=$(cat "$LOCK" deploy/tools/peers.sh sdk/pyproject.toml | cksum)
if [ "$(cat "$PEERS/.penstock-setup" 2>/dev/null)" != "$WANTED" ]; then
    echo "Installing the tools that Penstock is compared with into $PEERS ..." >&2
    [ -x "$PEERS/bin/python" ] || "$UV" venv -q --python .venv/bin/python "$PEERS"
    "$UV" pip sync -q --python "$PEERS/bin/python" --require-hashes "$LOCK" >&2
    "$UV" pip install -q --python "$PEERS/bin/python" --no-deps -e sdk >&2
    printf '%s' "$WANTED" >"$PEERS/.penstock-setup"
fi
echo "$PWD/$PEERS/bin/python"
