#!/usr/bin/env bash
# Runs the library's tests, and the conformance suite, on other processors: ci/qemu-user.sh [ARCHITECTURE...]
#
# User-mode emulation of aarch64 and riscv64. Their io_uring_setup answers ENOSYS here, so that what is proven is the
# fallback, the readiness backends and everything portable; configurations over io_uring are reported as skipped.
#
# s390x has the other byte order: there the scheduler's remote part alone is run, whose messages have bytes that every
# build must make, and whose random sessions must come to the same end.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

use_std_sources

# Emulated processors are slow: what waits with patience gets more of it.
export PROACT_CTS_PATIENCE=${PROACT_CTS_PATIENCE:-60}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
rows=()

# run ARCHITECTURE TARGET DEBIAN-ARCHITECTURE [WHICH...]: builds and runs everything for one, or the tests of the
# scheduler that have this in their names.
run() {
    local architecture=$1 target=$2 debian=$3 tuple=$1-linux-gnu
    need "$tuple-gcc" "gcc-$tuple"
    need "/usr/$tuple/lib/libc.so.6" "libc6-dev-$debian-cross"
    need "qemu-$architecture-static" qemu-user-static
    local upper=${target//-/_}
    upper=${upper^^}
    export "CARGO_TARGET_${upper}_LINKER=$tuple-gcc"
    export "CARGO_TARGET_${upper}_RUNNER=qemu-$architecture-static -L /usr/$tuple"

    if [[ $# -gt 3 ]]; then
        suite "$architecture" "$target" proact-schedule --lib "${@:4}"
        return
    fi
    suite "$architecture" "$target" proact --lib --tests
    if [[ -e proact-cts/tests/conformance.rs ]]; then
        suite "$architecture" "$target" proact-cts --test conformance
    fi
}

# suite ARCHITECTURE TARGET PACKAGE WHICH...: runs tests, and adds their counts to the table.
suite() {
    local architecture=$1 target=$2 package=$3 started=$SECONDS result=ok
    shift 3
    say "--- $architecture: $package $*"
    timeout 1200 cargo test --quiet --locked --no-fail-fast -p "$package" "$@" \
        --target "$target" --target-dir target/qemu-user -Zbuild-std=std,panic_unwind,test 2>&1 |
        tee "$log" >&2 || { result=FAILED && failed=1; }
    local format='%-9s %-12s %-7s %4d s  %s' seconds=$((SECONDS - started))
    rows+=("$(printf "$format" "$architecture" "$package" "$result" "$seconds" "$(counts "$log")")")
}

for architecture in "${@:-aarch64 riscv64 s390x}"; do
    for one in $architecture; do
        case $one in
        aarch64) run aarch64 aarch64-unknown-linux-gnu arm64 ;;
        riscv64) run riscv64 riscv64gc-unknown-linux-gnu riscv64 ;;
        s390x) run s390x s390x-unknown-linux-gnu s390x remote ;;
        *) die "aarch64, riscv64 and s390x are known, not $one" ;;
        esac
    done
done

printf '%s\n' "" "run under user-mode emulation:" "${rows[@]}"
exit "$failed"
