#!/usr/bin/env bash
# Runs the library's tests under sanitizers, on x86-64 Linux: ci/sanitizers.sh [address|thread] [TEST-FILTER]
#
# - address: use after free, overflows, and with the leak sanitizer whatever is never freed and reached by no one. The
#   compiler on PATH, with its prebuilt standard library. The suite's program `leaks`, which counts what every case
#   leaves, is part of every ordinary test run and stays out.
# - thread: data races. Needs a standard library that is instrumented too, so it is built, by Debian's compiler with
#   the runtime that comes with the one on PATH.
#
# What the kernel does to memory for a ring is invisible to both.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

target=x86_64-unknown-linux-gnu
which=${1:-all}
filter=("${@:2}")

# tests FOLDER OPTION...: the library's own tests, and the conformance suite where there is one.
tests() {
    local folder=$1 failed=0
    shift
    some "$folder" -p proact --lib --tests "$@" || failed=1
    if [[ -e proact-cts/tests/conformance.rs ]]; then
        some "$folder" -p proact-cts --test conformance "$@" || failed=1
        # A proactor whose kernel fails to wait leaves to it what it has, on purpose: this program counts by itself.
        ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" some "$folder" -p proact-cts --test faults "$@" || failed=1
    fi
    return "$failed"
}

some() {
    RUSTC_BOOTSTRAP=1 cargo test --locked --no-fail-fast --target "$target" --target-dir "target/$1" "${@:2}" \
        -- "${filter[@]}"
}

address() {
    say "=== address sanitizer"
    # Code without the sanitizer (the prebuilt standard library) may be linked in: it is only not looked into.
    RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
        ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:${ASAN_OPTIONS:-}" tests asan
}

thread() {
    say "=== thread sanitizer"
    local runtime folder
    runtime=$(rustc --print sysroot)/lib/rustlib/$target/lib/librustc-stable_rt.tsan.a
    [[ -e $runtime ]] || die "no thread sanitizer at $runtime"
    use_debian_rustc
    # The compiler looks for the runtime beside its own libraries only.
    folder=/usr/lib/rustlib/$target/lib
    if [[ ! -e $folder/librustc-stable_rt.tsan.a ]]; then
        say "linking $runtime into $folder"
        ln -s "$runtime" "$folder/"
    fi
    # rustix by way of libc: the sanitizer sees no system call that is made without it.
    RUSTFLAGS="-Zsanitizer=thread --cfg rustix_use_libc" \
        TSAN_OPTIONS="suppressions=$PWD/ci/tsan.supp:${TSAN_OPTIONS:-}" \
        tests tsan -Zbuild-std=std,panic_unwind,test
}

case $which in
all)
    # In a shell of its own: the two use different compilers.
    (address) && (thread)
    ;;
address | thread) "$which" ;;
*) die "address and thread are known, not $which" ;;
esac
