#!/usr/bin/env bash
# Measures proact, its peers and the bare interfaces, and writes docs/benchmarks.md: about a quarter of an hour.
# Stopped, it goes on where it was when it is called again; `run.sh --again` forgets what is measured and begins anew.
# What was measured of another commit or build is refused, so that no page is of two.
# Other arguments go to `peers run` (--rounds 7, --minutes 20).
set -euo pipefail
cd "$(dirname "$0")"
# A failure that records where it arose costs what nobody would have in production.
unset RUST_BACKTRACE RUST_LIB_BACKTRACE

again=no
if [[ ${1:-} == --again ]]; then
    again=yes
    shift
fi

# built NAME CARGO-ARGUMENT...: builds, and prints the program's path: cargo alone knows the folder that it was told to
# build into, by CARGO_TARGET_DIR or a configuration.
built() {
    local name=$1 path
    shift
    path=$(cargo build --release --locked --message-format=json-render-diagnostics "$@" |
        sed -n "s,.*\"executable\":\"\([^\"]*/$name\)\".*,\1,p" | tail -1)
    [[ -x $path ]] || {
        echo "error: $name was not built" >&2
        exit 1
    }
    printf '%s\n' "$path"
}

peers=$(built peers)
proact=$(built proact --manifest-path ../../Cargo.toml -p proact-cli --bin proact)
measured=$(dirname "$(dirname "$peers")")
rounds=$measured/rounds.jsonl
bench=$measured/bench.jsonl
profiles=$measured/profiles.jsonl

# What is measured: figures are of these two programs and of no others.
sources=(proact proact-async proact-schedule proact-vm proact-cts proact-cli bench Cargo.toml Cargo.lock)
commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo "not known")
if [[ -n $(cd ../.. && git status --porcelain -- "${sources[@]}" 2>/dev/null) ]]; then
    commit+=" with changes"
fi
programs=$(cat "$peers" "$proact" | sha256sum | cut -c1-12)
of="$("$proact" --version), commit $commit, programs $programs"

if [[ $again == yes ]]; then
    rm -f "$rounds" "$bench" "$profiles"
fi
head=$(printf '{"program":"%s"}' "$of")
if [[ -s $bench && $(head -n 1 "$bench") != "$head" ]]; then
    echo "error: $bench was measured of another: $(head -n 1 "$bench")" >&2
    echo "       This is: $head. run.sh --again begins anew." >&2
    exit 1
fi
if [[ ! -s $bench ]]; then
    # No part of it is kept when it is stopped: it is one run, against floors of the same run.
    printf '%s\n' "$head" >"$bench.part"
    "$proact" bench --json >>"$bench.part"
    mv "$bench.part" "$bench"
fi
"$peers" run "$rounds" --of "$of" "$@"
"$peers" profile "$rounds" "$profiles" --of "$of" --bench "$bench" --proact "$proact"
"$peers" page "$rounds" ../../docs "$bench" "$profiles"
echo "wrote docs/benchmarks.md and docs/benchmarks/"
