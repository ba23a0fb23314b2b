#!/usr/bin/env bash
# Runs the conformance suite again and again and reports what does not always pass: ci/repeat.sh [RUNS] [ARGUMENT...]
#
#     ci/repeat.sh 100                    the whole suite, 100 times
#     ci/repeat.sh 1000 'epoll/cancel'    one subject on one backend
#
# Random cases take other seeds in every run. A case that fails in any run is named at the end, with how often it did;
# the output of each run that failed is kept in target/repeat.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

runs=${1:-100}
[[ $runs =~ ^[1-9][0-9]*$ ]] || die "how often? not $runs times"
shift || true

# Built once and then run by itself, so that what is repeated is one and the same program.
program=$(program conformance test --no-run -p proact-cts --test conformance)

kept=target/repeat
mkdir -p "$kept"
rm -f "$kept"/run-*.log
failed=0
started=$SECONDS
for ((run = 1; run <= runs; run++)); do
    log=$kept/run-$run.log
    # Cases look for sources and programs of the tree from their package's folder, as under cargo.
    if (cd proact-cts && PROACT_CTS_SEED_BASE=$((run * 1000)) "$program" "$@") >"$log" 2>&1; then
        rm "$log"
    else
        failed=$((failed + 1))
        say "run $run of $runs failed: $log"
    fi
done

say "$runs runs in $((SECONDS - started)) s, $failed failed"
if [[ $failed -gt 0 ]]; then
    say "how often each case failed:"
    # The list of failures at the end of each log names every failed case once, indented.
    cat "$kept"/run-*.log | sed -n 's/^    \([a-z_0-9]*::[a-z_0-9:]*\)$/\1/p' | sort | uniq -c | sort -rn >&2
    exit 1
fi
