# What the scripts of this folder share. Sourced, not run.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null; }

# need COMMAND-OR-PATH PACKAGE...: makes sure that the first is there, and installs the packages where it may.
need() {
    local what=$1
    shift
    if [[ -e $what ]] || command -v "$what" >/dev/null; then
        return 0
    fi
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        die "$what is missing; on Debian: apt-get install --no-install-recommends $*"
    fi
    say "installing $* for $what"
    install "$@" || { apt-get update -qq && install "$@"; } || die "apt-get cannot install $*"
}

# program NAME CARGO-ARGUMENT...: builds, and prints the path of the program of this name, a test's or a binary's.
program() {
    local name=$1 path
    shift
    path=$(cargo "$@" --locked --message-format=json-render-diagnostics |
        sed -n "s,.*\"executable\":\"\([^\"]*/$name\(-[0-9a-f]*\)\?\)\".*,\1,p" | tail -1)
    [[ -x $path ]] || die "$name was not built"
    printf '%s\n' "$path"
}

# counts LOG: what became of the tests of which a log tells.
counts() {
    awk '/^test result:/ { for (i = 1; i < NF; i++) {
        if ($(i + 1) == "passed;") p += $i
        if ($(i + 1) == "failed;") f += $i
        if ($(i + 1) == "ignored;") n += $i } }
        END { printf "%d passed, %d failed, %d skipped", p, f, n }' "$1"
}

# use_std_sources: has what cargo builds next build the standard library too, with -Zbuild-std: the sources of the one
# that the compiler on PATH brings.
use_std_sources() {
    local sources
    sources=$(rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml
    if [[ ! -e $sources ]]; then
        command -v rustup >/dev/null || die "the standard library's sources are missing: $sources"
        say "installing rust-src"
        rustup --quiet component add rust-src || die "rustup cannot install rust-src"
    fi
    export RUSTC_BOOTSTRAP=1
}

# use_library TARGET CRATE,...: sets `library` to what cargo needs so that there is a standard library for the target:
# nothing where it is there or rustup brings it, else it is built.
use_library() {
    library=()
    [[ -d $(rustc --print sysroot)/lib/rustlib/$1/lib ]] && return
    if command -v rustup >/dev/null && rustup --quiet target add "$1"; then
        return
    fi
    use_std_sources
    library=("-Zbuild-std=$2")
}

# How many of the checks below have held.
checks=0

# is WHAT GOT WANTED: they are the same.
is() {
    [[ $2 == "$3" ]] || die "$1: got '$2', wanted '$3'"
    checks=$((checks + 1))
}

# holds WHAT TEXT PATTERN: a line of the text matches the extended pattern.
holds() {
    grep -Eq -- "$3" <<<"$2" || die "$1: no line of it matches '$3':"$'\n'"$2"
    checks=$((checks + 1))
}
