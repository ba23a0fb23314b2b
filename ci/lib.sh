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

# The compiler that brings the standard library's sources: Debian's, since a release of rustup's has only the prebuilt
# library of its own target. Cargo stays the one on PATH.
use_debian_rustc() {
    need /usr/lib/rustlib/src/rust/library/std/Cargo.toml rustc-web rust-web-src
    need /usr/bin/rustc rustc-web
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    say "compiler: $("$RUSTC" --version)"
}
