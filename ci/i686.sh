#!/usr/bin/env bash
# Runs the tests on a 32-bit build, by this machine's own kernel: ci/i686.sh [PACKAGE...]
#
# An x86-64 kernel runs i686 programs, io_uring among their system calls; so everything is run that runs natively: the
# library, the scheduler with its wire messages, the conformance suite, the programs.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

[[ $(uname -m) == x86_64 ]] || die "only an x86-64 kernel runs these programs, and this is $(uname -m)"

target=i686-unknown-linux-gnu
need i686-linux-gnu-gcc gcc-i686-linux-gnu
# Programs look for their loader and libraries where a 32-bit system has them. Without these only a program that is
# told of its loader runs, and none that starts itself again.
need /lib/ld-linux.so.2 libc6-i386
need /usr/lib32/libgcc_s.so.1 lib32gcc-s1
export CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER=i686-linux-gnu-gcc

use_library "$target" std,panic_unwind,test

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
rows=()

# suite PACKAGE WHICH...: runs tests, and adds their counts to the table.
suite() {
    local package=$1 started=$SECONDS result=ok
    shift
    say "--- $target: $package $*"
    timeout 1800 cargo test --quiet --locked --no-fail-fast -p "$package" "$@" \
        --target "$target" --target-dir target/i686 "${library[@]}" 2>&1 |
        tee "$log" >&2 || { result=FAILED && failed=1; }
    rows+=("$(printf '%-16s %-7s %4d s  %s' "$package" "$result" $((SECONDS - started)) "$(counts "$log")")")
}

for package in "${@:-proact proact-schedule proact-cts proact-cli}"; do
    for one in $package; do
        case $one in
        proact | proact-schedule) suite "$one" --lib --tests ;;
        proact-cts) suite "$one" --test conformance ;;
        # blake3 in Rust alone, as where there is no C compiler for the target.
        proact-cli) suite "$one" --lib --tests --features portable-digest ;;
        *) die "proact, proact-schedule, proact-cts and proact-cli are known, not $one" ;;
        esac
    done
done

printf '%s\n' "" "run as 32-bit programs:" "${rows[@]}"
exit "$failed"
