#!/bin/sh
# Builds the release binaries, sees to nginx, runs the whole comparison. Arguments go to `compare`.
set -eu
cd "$(dirname "$0")/.."

if ! command -v nginx >/dev/null && [ ! -x /usr/sbin/nginx ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update && apt-get install -y --no-install-recommends nginx
        # The package starts a server of its own; `compare` starts another, with its own configuration.
        systemctl disable --now nginx 2>/dev/null || service nginx stop 2>/dev/null || true
    else
        echo "run.sh: nginx is not installed; it will be missing from the table" >&2
    fi
fi

cargo build --release -p genesis -p genesis-bench
target="${CARGO_TARGET_DIR:-target}/release"
exec "$target/genesis-bench" compare --genesis "$target/genesis" "$@"
