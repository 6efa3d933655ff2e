#!/bin/sh
# Generates sdk/src/penstock/api from protos/.
#   generate.sh          writes it
#   generate.sh --check  fails when the committed code is not what the protos say
#
# The compiler lives in a tool environment of its own: its 6.33 gencode loads under protobuf 6.33 and 7, newer ones do not.
# Validation rules (buf.validate) are cut from the imports and stay in the descriptors as unknown options: servers read
# them with protovalidate, and the SDK need not carry them.
set -eu
cd "$(dirname "$0")/../.."
GRPC_TOOLS_VERSION=1.81.1
UV=.tools/uv/bin/uv
[ -x "$UV" ] || UV=uv
if [ ! -x ".tools/protoc-$GRPC_TOOLS_VERSION/bin/python" ]; then
    "$UV" venv -q --python .venv/bin/python ".tools/protoc-$GRPC_TOOLS_VERSION"
    "$UV" pip install -q --python ".tools/protoc-$GRPC_TOOLS_VERSION/bin/python" "grpcio-tools==$GRPC_TOOLS_VERSION" "protobuf>=6.33.5,<7"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/buf build protos -o "$work/image.binpb"
".tools/protoc-$GRPC_TOOLS_VERSION/bin/python" deploy/tools/generate.py "$work/image.binpb" "$work/out"
if [ "${1:-}" = --check ]; then
    if ! diff -r -x __pycache__ "$work/out/penstock/api" sdk/src/penstock/api >/dev/null; then
        diff -rq -x __pycache__ "$work/out/penstock/api" sdk/src/penstock/api >&2 || true
        echo "sdk/src/penstock/api is not what protos/ say: run 'make protos'." >&2
        exit 1
    fi
else
    rm -rf sdk/src/penstock/api
    cp -r "$work/out/penstock/api" sdk/src/penstock/api
fi
