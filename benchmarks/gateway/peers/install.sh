#!/bin/sh
# Install the gateways that Craton is measured beside, each in a folder of its own, versions pinned.
#
#   benchmarks/gateway/peers/install.sh [DIR]
#
# Needs Python 3.11 with venv, Node 20 with npm, a C compiler, and nginx
# (`apt-get install nginx-light`). HTTP/2 is measured with h2load (`apt-get install nghttp2-client`).
# Takes packages from PyPI and npm only. About 1.1 GB of disk; run again, it keeps what is there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
gateway=$(dirname "$here")
peers=${1:-$HOME/.cache/craton-bench}
mkdir -p "$peers"
peers=$(cd "$peers" && pwd)

say() { printf '%s\n' "== $*" >&2; }

command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || {
    say "nginx is missing: apt-get install nginx-light, then run this again."
    exit 1
}

# uv, because LiteLLM needs overrides (below) and pip has none.
[ -x "$peers/uv/bin/uv" ] || {
    say "uv"
    python3 -m venv "$peers/uv"
    "$peers/uv/bin/pip" install --quiet 'uv==0.13.9'
}

# python_peer NAME REQUIREMENT...: a virtual environment with a peer in it.
python_peer() {
    name=$1
    shift
    [ -e "$peers/$name/.done" ] && return
    say "$name: $*"
    "$peers/uv/bin/uv" venv --quiet --clear --python python3.11 "$peers/$name"
    "$peers/uv/bin/uv" pip install --quiet --python "$peers/$name/bin/python" \
        --override "$here/overrides.txt" "$@"
    # Compile once now, so that no peer's first requests pay for it.
    "$peers/$name/bin/python" -m compileall -q "$peers/$name/lib" >/dev/null 2>&1 || true
    touch "$peers/$name/.done"
}

python_peer sglang-router 'sglang-router==0.3.2'
python_peer vllm-router 'vllm-router==0.1.17'
# opentelemetry is optional for LiteLLM, but without it a failing import is tried at every request.
python_peer litellm 'litellm[proxy]==1.109.1' opentelemetry-api opentelemetry-sdk \
    opentelemetry-exporter-otlp

[ -e "$peers/portkey/.done" ] || {
    say "portkey"
    mkdir -p "$peers/portkey"
    (
        cd "$peers/portkey"
        npm install --silent --no-audit --no-fund --no-save '@portkey-ai/gateway@1.15.2'
        # See portkey_stream.md: without this line every streamed answer is an error 500.
        sed -i 's/headers || init?\.headers\]/headers || (init?.headers ? new Headers(init.headers) : undefined)]/' \
            node_modules/@hono/node-server/dist/index.js node_modules/@hono/node-server/dist/index.mjs
    )
    touch "$peers/portkey/.done"
}

say "mock_upstream and loadgen"
cc -O2 -Wall -Wextra -o "$peers/mock_upstream" "$gateway/mock_upstream.c"
cc -O2 -Wall -Wextra -o "$peers/loadgen" "$gateway/loadgen.c" -lm
say "done: $peers"
