#!/usr/bin/env bash
# Fuzzes a decoder with libFuzzer, under AddressSanitizer: ci/fuzz.sh [TARGET] [LIBFUZZER-ARGUMENT...]
#
#     ci/fuzz.sh                                    every target of ci/fuzz, a minute each
#     ci/fuzz.sh frontier -max_total_time=3600      one, for an hour
#
# The plain tests feed the same decoders a bounded number of seeded inputs. What is found here is kept in
# target/fuzz/TARGET, beside the corpus; a file of it given as an argument runs it again.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

root=$PWD
# Coverage is a pass of LLVM's and needs no other compiler; the sanitizer is asked for by a flag that is not stable.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="${RUSTFLAGS:-} -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions
    -Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer"
RUSTFLAGS=$(tr -s ' \n' ' ' <<<"$RUSTFLAGS")

fuzz() {
    local target=$1
    shift
    [[ -f ci/fuzz/$target.rs ]] || die "there is no ci/fuzz/$target.rs"
    # A crate of its own, outside of the workspace, so that nothing else needs libFuzzer to build.
    local crate=target/fuzz/crate-$target corpus=target/fuzz/$target
    mkdir -p "$crate" "$corpus"
    cat >"$crate/Cargo.toml" <<EOF
[package]
name = "fuzz-$target"
version = "0.0.0"
edition = "2024"

[[bin]]
name = "fuzz-$target"
path = "$root/ci/fuzz/$target.rs"

[dependencies]
libfuzzer-sys = "0.4"
proact = { path = "$root/proact", default-features = false }
proact-schedule = { path = "$root/proact-schedule" }
proact-vm = { path = "$root/proact-vm" }

[workspace]
EOF
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    # With a target named, build scripts and macros are built without the flags.
    cargo build --quiet --release --manifest-path "$crate/Cargo.toml" --target "$host" --target-dir target/fuzz/build
    say "fuzzing $target"
    "target/fuzz/build/$host/release/fuzz-$target" "$corpus" -artifact_prefix="$corpus-" "$@"
}

if [[ $# -gt 0 ]]; then
    fuzz "$@"
else
    for source in ci/fuzz/*.rs; do
        fuzz "$(basename "$source" .rs)" -max_total_time=60
    done
fi
