//! The medians of many rounds, as Markdown.

use std::collections::BTreeMap;

use crate::Failure;
use crate::run::Line;

/// Values of all rounds by figure, by peer in the order of their first line.
type Peers = Vec<(String, BTreeMap<String, Vec<f64>>)>;

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

pub fn table(file: &str) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)?;
    let mut works: Vec<(String, Vec<String>, Peers)> = Vec::new();
    let mut loads = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line)?;
        loads.push(line.load);
        let at = works.iter().position(|(work, ..)| *work == line.work).unwrap_or_else(|| {
            let figures = line.figures.iter().map(|(name, _)| name.clone()).collect();
            works.push((line.work.clone(), figures, Vec::new()));
            works.len() - 1
        });
        let peers = &mut works[at].2;
        let at = peers.iter().position(|(peer, _)| *peer == line.peer).unwrap_or_else(|| {
            peers.push((line.peer.clone(), BTreeMap::new()));
            peers.len() - 1
        });
        for (name, value) in line.figures {
            peers[at].1.entry(name).or_default().push(value);
        }
    }
    for (work, names, peers) in works {
        println!("\n### {work}\n\n| peer | {} | rounds |", names.join(" | "));
        println!("|---|{}--:|", "--:|".repeat(names.len()));
        for (peer, mut figures) in peers {
            let mut rounds = 0;
            let cells: Vec<String> = names
                .iter()
                .map(|name| {
                    let Some(values) = figures.get_mut(name) else { return String::from("–") };
                    rounds = values.len();
                    let middle = median(values);
                    format!("{middle:.0} ({:.0}–{:.0})", values[0], values[values.len() - 1])
                })
                .collect();
            println!("| {peer} | {} | {rounds} |", cells.join(" | "));
        }
    }
    if !loads.is_empty() {
        let middle = median(&mut loads);
        println!("\nLoad average while measuring: {middle:.1} ({:.1}–{:.1}).", loads[0], loads[loads.len() - 1]);
    }
    Ok(())
}
