//! The text of `docs/conformance.md`, which the program `conformance-table` writes and `tests/document.rs` checks.

use crate::cases::GROUPS;
use crate::record::{self, Results};

const HEAD: &str = "\
# Conformance

What became of every case of the conformance suite on every configuration. Written by a run of

```console
$ cargo run -p proact-cts --bin conformance-table
```

and not by hand. A test fails when the cases below are not those of the suite.

";

/// All of it.
pub fn text(results: &Results) -> String {
    let mut text = String::from(HEAD);
    if let Some(kernel) = kernel() {
        text.push_str(&format!("This run was on Linux {kernel}, {}.\n\n", std::env::consts::ARCH));
    }
    text.push_str(&record::table(GROUPS, results));
    text
}

/// The kernel's version, as far as it says what it can do.
fn kernel() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split(['.', '-', '\n']);
    Some(format!("{}.{}", numbers.next()?, numbers.next()?))
}
