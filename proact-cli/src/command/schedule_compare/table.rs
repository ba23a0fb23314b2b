//! The comparison as tables: for a terminal, and for a page of documentation.

use std::fmt::Write;

use super::{CaseAnswer, Comparison, PolicyAnswer};

const HEAD: &str = "<!-- schedule-compare -->";
const FOOT: &str = "<!-- /schedule-compare -->";

/// `text` with `tables` between its two lines.
///
/// # Errors
/// The line that is missing.
pub(super) fn put_between(text: &str, tables: &str) -> Result<String, &'static str> {
    let head = text.find(HEAD).ok_or(HEAD)? + HEAD.len();
    let foot = head + text[head..].find(FOOT).ok_or(FOOT)?;
    Ok(format!("{}\n{tables}{}", &text[..head], &text[foot..]))
}

const COLUMNS: [&str; 11] = [
    "policy",
    "waits",
    "elided",
    "issued",
    "for memory",
    "host queries",
    "objects",
    "bytes",
    "reuse: hits, waits, blocks",
    "makespan, µs",
    "scheduling, ns",
];

fn cells(policy: &PolicyAnswer) -> [String; 11] {
    let reuse = match policy.blocks {
        0 => String::from("-"),
        blocks => format!("{}, {}, {blocks}", policy.reuse_hits, policy.reuse_waits),
    };
    [
        policy.policy.into(),
        policy.waits.to_string(),
        policy.elided.to_string(),
        policy.issued.to_string(),
        policy.memory_barriers.to_string(),
        policy.host_queries.to_string(),
        policy.objects.to_string(),
        policy.bytes.to_string(),
        reuse,
        (policy.makespan_ns / 1000).to_string(),
        format!("{:.0}", policy.scheduling_ns),
    ]
}

/// What a case's table does not show.
fn remark(case: &CaseAnswer) -> Option<String> {
    let [first, .., last] = &case.policies[..] else { return None };
    (last.questions > 0).then(|| {
        format!(
            "Of {} outputs that were verified, {} can be told so from what is published under {}, {} under {}.",
            last.questions, first.answered, first.policy, last.answered, last.policy
        )
    })
}

/// What the entries of collectives come to.
fn collectives(comparison: &Comparison) -> Vec<[String; 6]> {
    let rows = comparison.collectives.iter().map(|collective| {
        let all = if collective.exact { "yes" } else { "no: they do not fit" };
        [
            collective.members.to_string(),
            String::from(if collective.channel { "channel" } else { "one each" }),
            collective.needed.to_string(),
            collective.entries.to_string(),
            collective.barriers.to_string(),
            all.into(),
        ]
    });
    rows.collect()
}

const COLLECTIVE: [&str; 6] = ["members", "axes", "entries needed", "entries held", "barriers", "all known"];

pub(super) fn markdown(comparison: &Comparison) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\nWritten by `proact schedule-compare`{}; a barrier takes a device {} µs; scheduling is processor time a \
         submission, the\nbest of {} rounds.",
        if comparison.optimized { "" } else { ", built without optimizations" },
        comparison.barrier_ns as f64 / 1e3,
        comparison.rounds,
    );
    for case in &comparison.cases {
        let _ = writeln!(text, "\n**{}. {}.** {}", case.number, case.name, case.text);
        if let Some(remark) = remark(case) {
            let _ = writeln!(text, "{remark}");
        }
        let _ = writeln!(text, "\n| {} |", COLUMNS.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(COLUMNS.len() - 1));
        for policy in &case.policies {
            let _ = writeln!(text, "| {} |", cells(policy).join(" | "));
        }
    }
    let _ = writeln!(text, "\n**Collectives.** What whoever waits for a collective comes to know, and waits for.");
    let _ = writeln!(text, "\n| {} |\n|---:|---|---:|---:|---:|---|", COLLECTIVE.join(" | "));
    for row in collectives(comparison) {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
    text
}

pub(super) fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    for case in &comparison.cases {
        let _ = writeln!(text, "{}. {}", case.number, case.name);
        let _ = writeln!(text, "  {}", case.text);
        let mut rows = vec![COLUMNS.map(String::from)];
        rows.extend(case.policies.iter().map(cells));
        aligned(&mut text, &rows);
        if let Some(remark) = remark(case) {
            let _ = writeln!(text, "  {remark}");
        }
        text.push('\n');
    }
    let _ = writeln!(text, "Collectives: what whoever waits for one comes to know");
    let mut rows = vec![COLLECTIVE.map(String::from)];
    rows.extend(collectives(comparison));
    aligned(&mut text, &rows);
    if !comparison.optimized {
        let _ = writeln!(text, "\nThis program was built without optimizations: its times say little.");
    }
    text
}

/// The first column to the left, the others to the right.
fn aligned<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            let _ = if column == 0 { write!(line, " {cell:<width$}") } else { write!(line, "  {cell:>width$}") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_go_between_their_lines_and_nothing_else_changes() {
        let page = format!("before\n{HEAD}\nold\n{FOOT}\nafter\n");
        let once = put_between(&page, "new\n").unwrap();
        assert_eq!(once, format!("before\n{HEAD}\nnew\n{FOOT}\nafter\n"));
        assert_eq!(put_between(&once, "new\n").unwrap(), once);
        assert_eq!(put_between("x", "new"), Err(HEAD));
        assert_eq!(put_between(HEAD, "new"), Err(FOOT));
    }
}
