#!/usr/bin/env bash
# Each feature of proact-async alone, none, and all: features add, and none leans on another unsaid.
set -euo pipefail
cd "$(dirname "$0")/.."

features=$(sed -n '/^\[features\]/,/^\[/s/^\([a-z][a-z-]*\) = .*/\1/p' proact-async/Cargo.toml)
[ -n "$features" ] || { echo "proact-async has no features?" >&2; exit 1; }

check() {
    printf '==== %s\n' "${*:-none}"
    cargo clippy --locked -p proact-async --lib "$@" -- -D warnings
}

check
for feature in $features; do
    check --features "$feature"
done
