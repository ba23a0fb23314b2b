#!/usr/bin/env bash
# Type-checks each package, with all its features and tests, by the oldest compiler that it declares: ci/msrv.sh
#
# That is its `rust-version`. Newer compilers accept more, by which it would be raised unseen: 1.89, for instance, lets
# what is borrowed within `Some(&...)` live as long as the variable that it stands in. Needs rustup, which brings them.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

command -v rustup >/dev/null || die "rustup is missing: it brings the old compilers"
workspace=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
packages=$(for manifest in */Cargo.toml bench/instructions/Cargo.toml; do
    version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$manifest")
    printf '%s %s\n' "$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -1)" "${version:-$workspace}"
done)
versions=$(awk '{ print $2 }' <<<"$packages" | sort -uV)
for version in $versions; do
    rustup --quiet toolchain install "$version" --profile minimal --no-self-update >/dev/null
    mapfile -t of < <(awk -v version="$version" '$2 == version { print "-p"; print $1 }' <<<"$packages")
    say "--- $version: ${of[*]}"
    cargo "+$version" check --quiet --locked "${of[@]}" --all-targets --all-features --target-dir target/msrv
done
printf '%s\n' "checked by the oldest compilers:" "$packages"
