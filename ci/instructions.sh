#!/usr/bin/env bash
# Counts the instructions of the hot paths (bench/instructions) and compares them with the committed counts: a ratchet,
# since time is too noisy to see a few percent. Fails when a path takes over 3 % more, and when one takes over 3 % less,
# so that the new count is committed and the next step is measured from there.
#
#     ci/instructions.sh               compares
#     ci/instructions.sh --write       writes bench/instructions/counts.txt
#     ci/instructions.sh --if-present  as the first, but says so and ends well where valgrind is not installed
#
# Valgrind's callgrind counts, in the one function that bench/instructions names for it; plain callgrind, and not a
# crate above it, because a name and a number a case are all that is needed and a runner would take minutes to build.
# Counts are user code's: what the kernel does is not in them. They belong to one compiler, target, libc and valgrind,
# which the file names: with others nothing is compared, and this says so. What depends on what the kernel's io_uring
# can do is compared on the kernel release that the file names alone. Processors differ in which of libc's copies of
# memcpy is chosen: the choice is taken from them.
set -euo pipefail
export LC_ALL=C
# shellcheck source=ci/lib.sh
source "$(dirname "$0")/lib.sh"

counts_file=bench/instructions/counts.txt
mode=${1:-compare}
case $mode in
compare | --write | --if-present) ;;
*) die "one of: nothing, --write, --if-present" ;;
esac

if [[ $(uname -s) != Linux ]]; then
    say "NOT RUN: instruction counts are for Linux"
    exit 0
fi
if [[ $mode == --if-present ]] && ! command -v valgrind >/dev/null; then
    say "NOT RUN: the ratchet of instruction counts needs valgrind, which is not installed; ci/instructions.sh"
    say "         installs it"
    exit 0
fi
need valgrind valgrind

# Flags of whoever calls this would make other code.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
toolchain="$(rustc --version | cut -d' ' -f1,2), $(rustc -vV | sed -n 's/^host: //p')"
toolchain+=", $(getconf GNU_LIBC_VERSION 2>/dev/null || echo "another libc"), $(valgrind --version)"
kernel=$(uname -r | cut -d. -f1,2)
recorded() { sed -n "s/^# $1: //p" "$counts_file"; }

if [[ $mode != --write && $(recorded toolchain) != "$toolchain" ]]; then
    say "NOT RUN: instruction counts were recorded with: $(recorded toolchain)"
    say "         and this is:                           $toolchain"
    exit 0
fi

program=$(program proact-instructions build --release -p proact-instructions)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# No processor's own copies of memcpy and its like; symbols are bound before anything is counted.
export GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM,-SSE4_1,-SSE4_2,-SSSE3 LD_BIND_NOW=1

while read -r name times; do
    if ! valgrind --tool=callgrind --callgrind-out-file="$work/out" --collect-atstart=no \
        --toggle-collect='*::counted' "$program" run "$name" >"$work/log" 2>&1; then
        if [[ $name == */io_uring ]] && grep -q '^instructions:' "$work/log"; then
            say "not counted: $name: $(sed -n 's/^instructions: //p' "$work/log")"
            continue
        fi
        cat "$work/log" >&2
        die "$name failed"
    fi
    instructions=$(sed -n 's/^summary: //p' "$work/out")
    [[ $instructions -gt 0 ]] || die "$name: nothing was counted"
    awk -v name="$name" -v times="$times" -v all="$instructions" 'BEGIN { printf "%s %.1f\n", name, all / times }'
done < <("$program" list) >"$work/counts"

if [[ $mode == --write ]]; then
    {
        echo "# Instructions of each hot path, user code alone. Written by ci/instructions.sh --write."
        echo "# toolchain: $toolchain"
        echo "# kernel: $kernel"
        cat "$work/counts"
    } >"$counts_file"
    say "wrote $counts_file"
    exit 0
fi

same_kernel=no
[[ $(recorded kernel) == "$kernel" ]] && same_kernel=yes
[[ $same_kernel == yes ]] ||
    say "not compared: io_uring's, which were recorded on Linux $(recorded kernel); this is Linux $kernel"
awk -v same_kernel=$same_kernel '
    function passes_over(name) { return name ~ /\/io_uring$/ && same_kernel == "no" }
    /^#/ { next }
    FNR == NR { was[$1] = $2; next }
    { is[$1] = $2; order[++count] = $1 }
    END {
        row = "%-34s %10s %10s %9s\n"
        for (i = 1; i <= count; i++) {
            name = order[i]
            if (passes_over(name)) continue
            if (!(name in was)) { missing = missing sprintf("%s has no committed count\n", name); continue }
            compared++
            change = 100 * (is[name] - was[name]) / was[name]
            line = sprintf(row, name, was[name], is[name], sprintf("%+.1f %%", change))
            if (change > 3) more = more line
            if (change < -3) fewer = fewer line
        }
        # An io_uring that is not allowed here was told above.
        for (name in was) if (!(name in is) && name !~ /\/io_uring$/) missing = missing sprintf("%s is no case\n", name)
        head = sprintf(row, "a time", "committed", "now", "change")
        if (more) printf "These paths take more instructions than before:\n%s%s", head, more
        if (fewer) printf "These take fewer: commit the new counts (ci/instructions.sh --write).\n%s%s", head, fewer
        printf "%s", missing
        if (more fewer missing) exit 1
        printf "%d hot paths take the instructions that were committed, within 3 %%\n", compared
    }' "$counts_file" "$work/counts"
