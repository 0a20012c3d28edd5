#!/usr/bin/env bash
# Runs every test. On a fresh Debian-like machine it first installs what the tests need; the Rust toolchain
# (1.95 or later, with rustfmt and clippy) is the one thing it expects to be there.
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== %s\n' "$*"; }

step "what the tests need"
missing=()
have() { command -v "$1" >/dev/null 2>&1; }
have cc || missing+=(build-essential)
have git || missing+=(git)
have curl || missing+=(curl)
have python3 && python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
have node || missing+=(nodejs)
have npm || missing+=(npm)
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing: ${missing[*]}"
  sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
have cargo || { echo "error: no Rust toolchain; install Rust 1.95 or later" >&2; exit 1; }
echo "cc, git, curl, python3, node, npm, cargo are there"

step "format and lints"
cargo fmt --all --check
cargo clippy --workspace --all-targets --quiet -- -D warnings

step "tests"
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --workspace --no-fail-fast
else
  cargo test --workspace --no-fail-fast
fi

step "official SDKs against the built binary"
tests/clients/run.sh target/debug/genesis

step "bench smoke"
cargo run --quiet -p genesis-bench -- compare --smoke --genesis target/debug/genesis
