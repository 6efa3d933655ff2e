#!/bin/sh
# Finds what the tests need beside Python packages. Each is taken from PATH, else fetched, else installed where that is allowed
# (as root on a Debian-like system), else told. Quick when everything is there.
set -eu
cd "$(dirname "$0")/../.."

chromium() {
    for browser in chromium chromium-browser google-chrome; do
        if command -v "$browser" >/dev/null 2>&1; then return; fi
    done
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        echo "Installing Chromium for the browser tests ..." >&2
        apt-get update -qq >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
        return
    fi
    echo "The browser tests need Chromium on PATH. For instance: sudo apt install chromium" >&2
    exit 1
}

chromium
# mongod and redis-server, for the adapters' contract suites.
.venv/bin/python -m penstock_local.servers
