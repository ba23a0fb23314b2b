#!/usr/bin/env bash
# Type-checks the workspace for systems other than this one: ci/targets.sh [TARGET...]
#
# The library is checked for every target, the suite's and the programs' crates where their own dependencies allow it.
# "ok" says that it compiles, not that it was run: for that see ci/qemu-user.sh.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# target | packages | why not all of them
TABLE='
aarch64-unknown-linux-gnu       | proact proact-schedule proact-cts proact-cli |
riscv64gc-unknown-linux-gnu     | proact proact-schedule proact-cts proact-cli |
armv7-unknown-linux-gnueabihf   | proact proact-schedule proact-cts proact-cli |
i686-unknown-linux-gnu          | proact proact-schedule proact-cts proact-cli |
x86_64-unknown-linux-musl       | proact proact-schedule proact-cts proact-cli |
aarch64-linux-android           | proact proact-schedule proact-cts proact-cli |
aarch64-apple-darwin            | proact proact-schedule proact-cts proact-cli |
x86_64-unknown-freebsd          | proact proact-schedule proact-cts proact-cli |
x86_64-pc-windows-gnu           | proact proact-schedule proact-cli | the suite speaks of Unix descriptors
x86_64-pc-windows-msvc          | proact proact-schedule proact-cli | the suite speaks of Unix descriptors
wasm32-unknown-unknown          | proact proact-schedule | no sockets, no processes
'

use_std_sources
# std links some of Windows by import libraries that are made while it is compiled.
need x86_64-w64-mingw32-dlltool binutils-mingw-w64-x86-64

# `ring` compiles C, and no compiler for each of these targets is asked for: types are checked without what it makes.
scratch=$(mktemp -d)
log=$scratch/log
trap 'rm -r "$scratch"' EXIT
# Makes what follows -o, or is written as -out:NAME; or, as an archiver, its second argument.
cat >"$scratch/empty" <<'END'
#!/bin/sh
[ "${1#-}" = "$1" ] && [ -n "$2" ] && : >"$2"
for each; do
    case $each in -out:*) : >"${each#-out:}" ;; esac
    [ "$before" = -o ] && : >"$each"
    before=$each
done
exit 0
END
chmod +x "$scratch/empty"
export TARGET_CC=$scratch/empty TARGET_AR=$scratch/empty
failed=0
rows=()
while IFS='|' read -r target packages note; do
    read -r target <<<"$target"
    [[ -n $target ]] || continue
    if [[ $# -gt 0 && " $* " != *" $target "* ]]; then
        continue
    fi
    for package in $packages; do
        features=()
        # blake3 in Rust alone.
        [[ $package == proact-cli ]] && features=(--features portable-digest)
        started=$SECONDS
        if cargo check --quiet --locked -p "$package" "${features[@]}" --target "$target" --target-dir target/targets \
            -Zbuild-std=std,panic_abort >"$log" 2>&1; then
            result=ok
        else
            result=FAILED
            failed=1
            say "--- $target, $package"
            cat "$log" >&2
        fi
        rows+=("$(printf '%-32s %-15s %-7s %4d s' "$target" "$package" "$result" $((SECONDS - started)))")
        say "${rows[-1]}"
    done
    [[ $note =~ [^[:space:]] ]] && rows+=("$(printf '%-32s not all: %s' "$target" "${note# }")")
done <<<"$TABLE"

[[ ${#rows[@]} -gt 0 ]] || die "no such target: $*"
printf '%s\n' "" "type-checked:" "${rows[@]}"
exit "$failed"
