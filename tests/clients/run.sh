#!/usr/bin/env bash
# The official SDKs of OpenAI and Anthropic, in Python and Node, against the built binary: on each provider's own path,
# and on the unified API, where an SDK of one vendor drives the models of another. Cloudflare's own package drives the
# universal endpoint; Cloudflare's SDK, in both languages, manages the gateway. Amazon's reads what the log was exported to.
#
#   tests/clients/run.sh [path to genesis]      without a path: builds the binary and takes that
#
# Two gateways are tried, each on a port of its own choosing:
#   gateway   `genesis gateway run`: asks for a token, keeps the provider keys, and has the second one as its upstream
#   dev       `genesis dev`: the simulator behind a gateway without tokens
# Everything it installs and writes is below target/clients. Nothing but package registries is reached.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work="$root/target/clients"
python_work="$work/python" node_work="$work/node" logs="$work/logs"

main() {
  if [ $# -gt 0 ]; then
    genesis=$(realpath "$1")
  else
    (cd "$root" && cargo build --quiet --bin genesis)
    genesis="${CARGO_TARGET_DIR:-$root/target}/debug/genesis"
  fi
  rm -rf "$logs"
  mkdir -p "$logs"
  install_python
  install_node

  home=$(mktemp -d)
  trap stop EXIT
  # A clean environment: a key in the caller's must not make a call real. No function, so that `$!` is genesis itself.
  bare=(env -i PATH="$PATH" HOME="$home" LANG=C.UTF-8 NO_COLOR=1)
  start_dev
  start_gateway

  status=0
  run_python || status=1
  run_node || status=1
  run_description || status=1
  summary
  return $status
}

# ---- what the suites need ------------------------------------------------------------------------------------------

install_python() {
  local python="${PYTHON:-python3}" wanted="$here/python/requirements.txt" done="$python_work/installed.txt"
  cmp -s "$wanted" "$done" && [ -x "$python_work/bin/pytest" ] && return
  rm -rf "$python_work"
  "$python" -m venv "$python_work" || fail "python needs its venv module (on Debian: apt-get install python3-venv)"
  "$python_work/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$wanted"
  cp "$wanted" "$done"
}

install_node() {
  local wanted="$here/node/package-lock.json" done="$node_work/installed.json"
  command -v node >/dev/null || fail "node 20 or newer is needed (on Debian: apt-get install nodejs npm)"
  mkdir -p "$node_work"
  if ! cmp -s "$wanted" "$done"; then
    rm -rf "$node_work"
    mkdir -p "$node_work"
    cp "$here"/node/package.json "$wanted" "$node_work/"
    (cd "$node_work" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
    cp "$wanted" "$done"
  fi
  # Modules are looked up from where a file lies, so the suite runs beside them.
  rm -f "$node_work"/*.mjs
  cp "$here"/node/*.mjs "$node_work/"
}

# ---- the two gateways ----------------------------------------------------------------------------------------------

pids=()

start_dev() {
  "${bare[@]}" GENESIS_HOME="$home/dev" "$genesis" dev --port 0 --json --simulate-all --gateway gw \
    >"$logs/dev.json" 2>"$logs/dev.log" &
  pids+=($!)
  wait_for $! "$logs/dev.json" '"baseUrl"' "$logs/dev.log"
  dev_url=$(sed -n 's/.*"baseUrl":"\([^"]*\)".*/\1/p' "$logs/dev.json")
}

start_gateway() {
  local own="$home/gateway"
  mkdir -m 700 "$own"
  cat >"$own/genesis.json" <<EOF
{
  models: { providers: {
    openai: { baseUrl: "$dev_url/openai" },
    anthropic: { baseUrl: "$dev_url/anthropic" },
    "google-ai-studio": { baseUrl: "$dev_url/google-ai-studio" },
    odd: { baseUrl: "http://a\"b/v1" },
  } },
  gateway: {
    listen: "127.0.0.1:0",
    gateways: { gw: { authentication: true } },
    routes: { support: { elements: [
      { id: "start", type: "start", outputs: { next: "first" } },
      { id: "first", type: "model", properties: { provider: "anthropic", model: "sim-503" },
        outputs: { success: "end", fallback: "second" } },
      { id: "second", type: "model", properties: { provider: "openai", model: "gpt-5-mini" }, outputs: { success: "end" } },
      { id: "end", type: "end" },
    ] } },
  },
}
EOF
  chmod 600 "$own/genesis.json"
  for provider in openai anthropic google-ai-studio; do
    echo "stored-key-of-$provider" | "${bare[@]}" GENESIS_HOME="$own" "$genesis" --quiet key set "$provider"
    echo "second-key-of-$provider" | "${bare[@]}" GENESIS_HOME="$own" "$genesis" --quiet key set "$provider" --alias second
  done
  token=$("${bare[@]}" GENESIS_HOME="$own" "$genesis" --quiet token create --name clients)
  managing=$("${bare[@]}" GENESIS_HOME="$own" "$genesis" --quiet token create --name managing --permissions read,edit)
  "${bare[@]}" GENESIS_HOME="$own" "$genesis" gateway run >"$logs/gateway.out" 2>"$logs/gateway.log" &
  pids+=($!)
  wait_for $! "$logs/gateway.log" 'listens on http://' "$logs/gateway.log"
  gateway_url="$(sed -n 's|.*listens on \(http://[^ ]*\).*|\1|p' "$logs/gateway.log")/v1/acct/gw"
}

# wait_for <pid> <file> <text> <log to show if it dies>
wait_for() {
  local left=200
  until grep -q "$3" "$2" 2>/dev/null; do
    kill -0 "$1" 2>/dev/null || fail "genesis ended before it was ready: $(cat "$4")"
    left=$((left - 1))
    [ $left -gt 0 ] || fail "genesis was not ready within 10 s: $(cat "$4")"
    sleep 0.05
  done
}

stop() {
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  for pid in "${pids[@]}"; do
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$home"
}

# ---- the suites ----------------------------------------------------------------------------------------------------

# suite <folder> <command…>: as a job like the gateways, so that whatever ends this script ends it too.
suite() {
  cd "$1"
  shift
  "${bare[@]}" GENESIS="$genesis" GATEWAY_HOME="$home/gateway" DEV_HOME="$home/dev" \
    GATEWAY_URL="$gateway_url" GATEWAY_TOKEN="$token" MANAGEMENT_TOKEN="$managing" DEV_URL="$dev_url" "$@" &
  pids+=($!)
  cd - >/dev/null
  wait $!
}

run_python() {
  suite "$here/python" PYTHONDONTWRITEBYTECODE=1 "$python_work/bin/pytest" -q -p no:cacheprovider --tb=short \
    --junitxml="$logs/python.xml" .
}

run_node() {
  suite "$node_work" node --test --test-concurrency=1 \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$logs/node.tap" \
    "$node_work"/*.test.mjs
}

# Schemathesis makes requests up from the OpenAPI description: no answer may be a 5xx or other than described. The live
# tail is left out, as it does not end.
run_description() {
  local origin="${dev_url%%/v1/*}"
  suite "$python_work" "$python_work/bin/schemathesis" --config-file "$here/python/schemathesis.toml" \
    run "$origin/client/v4/openapi.json" --url "$origin" --exclude-path-regex 'logs/tail$' \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --phases coverage,fuzzing --max-examples 15 --generation-deterministic \
    --request-timeout 10 --warnings off --no-color \
    >"$logs/description.log" || { cat "$logs/description.log"; return 1; }
  sed -n 's/^ *\([0-9]* generated\)/description: \1/p' "$logs/description.log"
}

summary() {
  [ -s "$logs/python.xml" ] || fail "the Python suite did not start; see above"
  [ -s "$logs/node.tap" ] || fail "the Node suite did not start; see above"
  local tests failed passed node_failed node_passed
  tests=$(python_count tests)
  failed=$(($(python_count failures) + $(python_count errors)))
  passed=$((tests - failed - $(python_count skipped)))
  node_passed=$(node_count pass)
  node_failed=$(($(node_count fail) + $(node_count cancelled)))
  echo "python: $passed passed, $failed failed; node: $node_passed passed, $node_failed failed"
  echo "$((passed + node_passed)) passed, $((failed + node_failed)) failed"
}

python_count() {
  sed -n "s/.*<testsuite [^>]*\b$1=\"\([0-9]*\)\".*/\1/p" "$logs/python.xml" | head -1
}

node_count() {
  sed -n "s/^# $1 //p" "$logs/node.tap"
}

fail() {
  echo "tests/clients: $*" >&2
  exit 1
}

main "$@"
