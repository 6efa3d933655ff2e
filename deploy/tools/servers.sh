#!/bin/sh
# Finds what the tests need beside Python packages: Chromium for the browser journeys. Taken from PATH, else installed when
# that is allowed (root on a Debian-like system), else told.
set -eu
for browser in chromium chromium-browser google-chrome; do
    if command -v "$browser" >/dev/null 2>&1; then exit 0; fi
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Installing Chromium for the browser tests ..." >&2
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
    exit 0
fi
echo "The browser tests need Chromium on PATH. For instance: sudo apt install chromium" >&2
exit 1
