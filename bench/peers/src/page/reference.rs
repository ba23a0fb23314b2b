//! The C library's figures beside ours, which were measured on another machine: what can be said of that.

use std::fmt::Write;

use super::bench::Row;
use super::goals::row;
use super::number;

/// Rows of `proact bench`, and nanoseconds of the C library's for the same: on its ring, where it has one.
const FIGURES: &[(&str, f64)] = &[
    ("source/1", 900.0),
    ("source/512", 900.0),
    ("source/4096", 900.0),
    ("relay/1", 900.0),
    ("relay/512", 1_800.0),
    ("relay/4096", 7_700.0),
    ("notification-relays/8", 3_200.0),
    ("notification-relays/64", 22_000.0),
    ("notification-relays/256", 90_000.0),
    // The whole chain's, by its entries.
    ("chain/1", 990.0),
    ("chain/8", 2_250.0 / 8.0),
    ("chain/64", 15_100.0 / 64.0),
    ("event/set-wait", 1_380.0),
    ("socket/roundtrip/64", 6_650.0),
    ("socket/roundtrip/4k", 6_970.0),
    ("socket/roundtrip/64k", 16_400.0),
    ("accept/single", 15_300.0),
    ("buffer", 21.0),
    ("event-pool", 25.0),
    ("frontier/compare/1", 2.4),
    ("frontier/compare/4", 6.6),
    ("frontier/compare/16", 18.0),
    ("frontier/compare/64", 84.0),
    ("frontier/merge/1", 3.4),
    ("frontier/merge/4", 7.6),
    ("frontier/merge/16", 17.0),
    ("frontier/merge/64", 56.0),
    ("frontier/merge-interleaved/4", 18.0),
    ("frontier/merge-interleaved/16", 79.0),
    ("frontier/merge-interleaved/64", 253.0),
    ("frontier/satisfied/4", 6.8),
    ("frontier/satisfied/16", 32.0),
    ("frontier/satisfied/64", 106.0),
    ("tracker/advance", 8.7),
    ("tracker/advance-unrelated/16", 44.0),
    ("tracker/advance-unrelated/256", 381.0),
    // There a callback; here an operation that completes.
    ("tracker/dispatch", 4.6),
    ("vm/noop", 93.0),
    ("vm/add", 122.0),
    ("vm/inline-loop", 141.0),
    ("vm/lookup", 25.0),
];

/// The table, of the rows that were measured.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from("| measure | C, ns | ours, ns | raw floor here | |\n|---|--:|--:|--:|---|\n");
    for &(name, theirs) in FIGURES {
        let Some(row) = row(rows, name) else { continue };
        let said = match row.floor {
            _ if row.median < theirs => "ahead",
            Some(floor) if floor >= theirs => "its floor here is not ahead, either",
            _ => "**behind**",
        };
        let (theirs, ours) = (number(theirs), number(row.median));
        let floor = row.floor.map_or("–".into(), number);
        writeln!(text, "| `{name}` | {theirs} | {ours} | {floor} | {said} |").expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_floor_itself_does_not_reach_here_is_not_called_behind() {
        let text = r#"{"name":"source/1","backend":"io_uring","unit":"ns","median":800.0,"floor":700.0}
{"name":"event/set-wait","backend":"io_uring","unit":"ns","median":1500.0,"floor":1000.0}
{"name":"socket/roundtrip/64","backend":"io_uring","unit":"ns","median":9000.0,"floor":8000.0}
{"name":"relay/1","backend":"epoll","unit":"ns","median":900.0}"#;
        let rows: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
        let told = table(&rows);
        for line in [
            "| `source/1` | 900 | 800 | 700 | ahead |",
            "| `event/set-wait` | 1,380 | 1,500 | 1,000 | **behind** |",
            "| `socket/roundtrip/64` | 6,650 | 9,000 | 8,000 | its floor here is not ahead, either |",
            "| `relay/1` | 900 | 900 | – | **behind** |",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
        assert_eq!(told.lines().count(), 6);
    }
}
