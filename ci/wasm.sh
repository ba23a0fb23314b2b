#!/usr/bin/env bash
# Runs a simulated world in WebAssembly and compares what its seeds come to with this machine's: ci/wasm.sh
#
# Needs node, and rustup or the library for wasm32-unknown-unknown.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

need node nodejs
build=(--quiet --locked -p proact --example world)
native=$(cargo run "${build[@]}")
use_library wasm32-unknown-unknown std,panic_abort
RUSTFLAGS="-C link-arg=--export=digest" cargo build "${build[@]}" --target wasm32-unknown-unknown "${library[@]}" \
    --target-dir target/wasm
script='
const bytes = require("fs").readFileSync(process.argv[1]);
WebAssembly.instantiate(bytes, {}).then(({ instance }) => {
    for (let seed = 0n; seed < 8n; seed++) {
        const digest = BigInt.asUintN(64, instance.exports.digest(seed));
        console.log(`${seed} ${digest.toString(16).padStart(16, "0")}`);
    }
});'
there=$(node -e "$script" target/wasm/wasm32-unknown-unknown/debug/examples/world.wasm)
if [[ $native != "$there" ]]; then
    diff <(printf '%s\n' "$native") <(printf '%s\n' "$there") >&2 || true
    die "a seed decides something else in WebAssembly"
fi
printf '%s\n' "$native" "the same in WebAssembly"
