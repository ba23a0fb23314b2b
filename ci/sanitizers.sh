#!/usr/bin/env bash
# Runs the library's tests under sanitizers, on x86-64 Linux:
#
#     ci/sanitizers.sh                          everything under both
#     ci/sanitizers.sh thread                   under one of them (address, thread)
#     ci/sanitizers.sh thread library           one part: library, async, programs, suite, faults
#     ci/sanitizers.sh thread suite 'poll/'     some cases, as the suite's program takes them: here one configuration
#
# - address: use after free, overflows, and with the leak sanitizer whatever is never freed and reached by no one. The
#   compiler on PATH, with its prebuilt standard library. The suite's program `leaks`, which counts what every case
#   leaves, is part of every ordinary test run and stays out; so does `allocations`, which counts what a sanitizer adds.
# - thread: data races. Needs a standard library that is instrumented too, so it is built.
#
# Each configuration of the suite is a process of its own, so that a report belongs to one, and a run can be had in
# slices. What each said lies in target/asan/logs and target/tsan/logs.
#
# What the kernel does to memory for a ring is invisible to both.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

target=x86_64-unknown-linux-gnu
# What a case waits with: sanitizers are slow.
export PROACT_CTS_PATIENCE=${PROACT_CTS_PATIENCE:-60}
which=${1:-all}
what=${2:-all}
filter=("${@:3}")

failed=0
rows=()
# Cases that a sanitizer cannot run, as options of the suite's program; and tests, as options of any.
skips=()
unfit=()

# tests FOLDER OPTION...: the parts that were asked for.
tests() {
    folder=$1
    shift
    options=(--target "$target" --target-dir "target/$folder" "$@")
    logs=$PWD/target/$folder/logs
    mkdir -p "$logs"
    export RUSTC_BOOTSTRAP=1
    local part found=0
    for part in library async programs suite faults; do
        if [[ $what == all || $what == "$part" ]]; then
            found=1
            "$part"
        fi
    done
    [[ $found == 1 ]] || die "library, async, programs, suite and faults are known, not $what"
    printf '%s\n' "" "in target/$folder:" "${rows[@]}"
    return "$failed"
}

library() {
    one library cargo test --locked --no-fail-fast -p proact --lib --tests "${options[@]}" \
        -- "${unfit[@]}" "${filter[@]}"
}

# The futures, with every adapter; and those dropped after every poll, by a program that counts by itself, as `faults`.
async() {
    local tests=(--lib) each
    for each in proact-async/tests/*.rs; do tests+=(--test "$(basename "$each" .rs)"); done
    local test=(cargo test --locked --no-fail-fast -p proact-async --all-features)
    one async "${test[@]}" "${tests[@]}" "${options[@]}" -- "${unfit[@]}" "${filter[@]}"
    one drops env ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" \
        "${test[@]}" --test drops "${options[@]}" -- "${filter[@]}"
}

programs() {
    one programs cargo test --locked --no-fail-fast -p proact-cts --test own_backend --test scripted "${options[@]}" \
        -- "${filter[@]}"
}

suite() {
    local program configuration
    program=$(program conformance test --no-run -p proact-cts --test conformance "${options[@]}")
    # Cases look for sources and programs of the tree from their package's folder, as under cargo.
    cd proact-cts
    if [[ ${#filter[@]} -gt 0 ]]; then
        one suite "$program" "${skips[@]}" "${filter[@]}"
    else
        for configuration in $("$program" --list | sed -n 's/^\([a-z_]*\)::.*: test$/\1/p' | uniq); do
            one "$configuration" "$program" "${skips[@]}" "$configuration/"
        done
    fi
    cd ..
}

# A proactor whose kernel fails to wait leaves to it what it has, on purpose: this program counts by itself.
faults() {
    one faults env ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" \
        cargo test --locked --no-fail-fast -p proact-cts --test faults "${options[@]}" -- "${filter[@]}"
}

# one NAME COMMAND...: runs a slice, and adds it to the table.
one() {
    local name=$1 log=$logs/$1.log started=$SECONDS result=ok reports
    shift
    say "--- $name"
    "$@" 2>&1 | tee "$log" | { grep -v -e ' \.\.\. ok$' >&2 || true; } || { result=FAILED && failed=1; }
    reports=$(grep -c -e 'WARNING: Thread' -e 'ERROR: AddressSan' -e 'ERROR: LeakSan' "$log" || true)
    rows+=("$(printf '%-36s %-7s %4d s  %2d reports  %s' "$name" "$result" $((SECONDS - started)) "$reports" \
        "$(counts "$log")")")
}

address() {
    say "=== address sanitizer"
    # Code without the sanitizer (the prebuilt standard library) may be linked in: it is only not looked into.
    # Threads that are ended at their first system call free nothing, and the sanitizer waits in vain for them to stop.
    unfit=(--skip no_system_call --skip calls_are_noticed)
    RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
        LSAN_OPTIONS="suppressions=$PWD/ci/lsan.supp:print_suppressions=0:${LSAN_OPTIONS:-}" \
        ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:${ASAN_OPTIONS:-}" tests asan
}

thread() {
    say "=== thread sanitizer"
    use_std_sources
    # The sanitizer stands between a program and its signals: it installs handlers of its own, with every signal
    # blocked, and holds a signal back until the program makes a call that it knows, which a sleep in a ring is not.
    skips=(
        --skip signal::a_subscription_begins_and_ends_by_a_cancel
        --skip signal::dispositions_and_masks_are_again_what_they_were
        --skip signal::a_signal_of_any_thread_ends_the_sleep
        --skip signal::ownership_ends_with_the_proactor
    )
    # rustix by way of libc: the sanitizer sees no system call that is made without it.
    RUSTFLAGS="-Zsanitizer=thread --cfg rustix_use_libc" \
        TSAN_OPTIONS="suppressions=$PWD/ci/tsan.supp:${TSAN_OPTIONS:-}" \
        tests tsan -Zbuild-std=std,panic_unwind,test
}

case $which in
all)
    # Each in a process of its own: the two want other flags.
    for each in address thread; do
        bash ci/sanitizers.sh "$each" "${@:2}" || failed=1
    done
    exit "$failed"
    ;;
address | thread) "$which" ;;
*) die "address and thread are known, not $which" ;;
esac
