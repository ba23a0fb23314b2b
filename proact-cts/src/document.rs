//! The text of `docs/conformance.md`, which the program `conformance-table` writes and `tests/document.rs` checks.

use crate::cases::GROUPS;
use crate::faults;
use crate::record::{self, Results};

const HEAD: &str = "\
# Conformance

What became of every case of the conformance suite on every configuration. Written by a run of

```console
$ cargo run -p proact-cts --bin conformance-table
```

and not by hand. A test fails when the cases below are not those of the suite.

";

const FAULTS: &str = "\
Faults that libraries of this kind have had, and the tests that fail where one of them is. Tests that are no cases of
the tables above are the library's own, or one of the suite's other programs.
";

/// All of it.
pub fn text(results: &Results) -> String {
    let mut text = String::from(HEAD);
    if let Some(kernel) = kernel() {
        text.push_str(&format!("This run was on Linux {kernel}, {}.\n\n", std::env::consts::ARCH));
    }
    text.push_str(&record::table(GROUPS, results));
    text.push_str(&section());
    text
}

/// The part about faults, which follows from the sources alone.
pub fn section() -> String {
    format!("\n## Faults that the tests would find\n\n{FAULTS}\n{}", faults::table())
}

/// The kernel's version, as far as it says what it can do.
fn kernel() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split(['.', '-', '\n']);
    Some(format!("{}.{}", numbers.next()?, numbers.next()?))
}
