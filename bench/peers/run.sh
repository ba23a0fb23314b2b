#!/usr/bin/env bash
# Measures proact, its peers and the bare interfaces, and writes docs/benchmarks.md: about a quarter of an hour.
# Stopped, it goes on where it was when it is called again; `run.sh --again` forgets what is measured and begins anew.
# Other arguments go to `peers run` (--rounds 7, --minutes 20).
set -euo pipefail
cd "$(dirname "$0")"

rounds=target/rounds.jsonl
bench=target/bench.jsonl
if [[ ${1:-} == --again ]]; then
    shift
    rm -f "$rounds" "$bench"
fi

cargo build --release --locked
cargo build --release --locked --manifest-path ../../Cargo.toml -p proact-cli --bin proact
if [[ ! -s $bench ]]; then
    # No part of it is kept when it is stopped: it is one run, against floors of the same run.
    ../../target/release/proact bench --json >"$bench.part"
    mv "$bench.part" "$bench"
fi
target/release/peers run "$rounds" "$@"
target/release/peers page "$rounds" ../../docs "$bench"
echo "wrote docs/benchmarks.md and docs/benchmarks/"
