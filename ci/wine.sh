#!/usr/bin/env bash
# Runs on Windows, under Wine, what proact has there: ci/wine.sh
#
# That is the simulated backend with its tests, the scheduler, and sessions over the sockets of simulated hosts. A
# backend of Windows' own is not there yet. The worlds of some seeds are compared with this machine's, to the last bit.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

target=x86_64-pc-windows-gnu
need /usr/lib/wine/wine64 wine64 wine
need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64-win32 binutils-mingw-w64-x86-64
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=/usr/lib/wine/wine64
export WINEARCH=win64 WINEDEBUG=-all WINEDLLOVERRIDES="mscoree=;mshtml=;winemenubuilder.exe="
export WINEPREFIX=$PWD/target/wine

use_library "$target" std,panic_unwind,test

if [[ ! -d $WINEPREFIX ]]; then
    say "making a prefix for Wine"
    mkdir -p target
    /usr/lib/wine/wine64 wineboot -i >/dev/null 2>&1
    /usr/lib/wine/wineserver -w
fi
x86_64-w64-mingw32-gcc -O2 -shared -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" \
    ci/wine/processprng.c -ladvapi32

windows=(--quiet --locked --target "$target" --target-dir target/windows "${library[@]}")
world=(-p proact --example world)
native=$(cargo run --quiet --locked "${world[@]}")
there=$(cargo run "${windows[@]}" "${world[@]}" | tr -d '\r')
if [[ $native != "$there" ]]; then
    diff <(printf '%s\n' "$native") <(printf '%s\n' "$there") >&2 || true
    die "a seed decides something else on Windows"
fi
say "the same worlds on Windows"
timeout 1200 cargo test "${windows[@]}" -p proact --test simulated
timeout 1200 cargo test "${windows[@]}" -p proact-schedule --lib
