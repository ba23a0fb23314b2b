#!/usr/bin/env bash
# Model-checks the lock-free parts: every interleaving of small tests, with loom in the place of the atomics.
#
#     ci/loom.sh                        everything
#     ci/loom.sh loom_tests::name       one test
#     LOOM_MAX_PREEMPTIONS=4 ci/loom.sh deeper, and much longer
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# Most faults need no more than two or three switches of threads; without a bound some models take hours.
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3}
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"

# In a folder of its own: other flags would otherwise have everything built anew each time.
cargo test --locked -p proact -p proact-async -p proact-vm --lib --release --target-dir target/loom -- "${@:-loom_}"
