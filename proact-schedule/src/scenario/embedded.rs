//! The scenarios that come with the library: its files, as they were when it was built.

use super::Scenario;

macro_rules! files {
    ($($id:literal)*) => {
        /// The file of each, by its id.
        const FILES: &[(&str, &str)] =
            &[$(($id, include_str!(concat!("../../scenarios/", $id, ".json")))),*];
    };
}

files! {
    "sequential"
    "cross-queue"
    "fork-join"
    "independent"
    "pipeline"
    "late-waiter"
    "multi-domain"
    "spec-decode"
    "kv-paging"
    "multi-modal"
    "voice-chat"
    "rag-pipeline"
    "multi-model"
    "streaming-translation"
    "laptop"
    "workstation"
    "workstation-voice"
    "workstation-memory"
    "workstation-kv-paging"
    "workstation-lora"
    "workstation-rag"
    "workstation-translation"
    "datacentre"
    "datacentre-gap-filling"
    "datacentre-two-nodes"
    "datacentre-experts"
    "datacentre-request"
}

/// The ids, in the order in which they teach.
pub fn ids() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|&(id, _)| id)
}

/// The text of a scenario's file.
pub fn text(id: &str) -> Option<&'static str> {
    FILES.iter().find(|&&(known, _)| known == id).map(|&(_, text)| text)
}

/// Every scenario, in the order of [`ids`].
pub fn all() -> impl Iterator<Item = Scenario> {
    FILES.iter().map(|&(id, text)| read(id, text))
}

/// The scenario of this id or alias; an alias may be in capitals or not.
///
/// ```
/// use proact_schedule::scenario::embedded;
/// assert_eq!(embedded::find("sequential").unwrap().file().operations.len(), 3);
/// assert!(embedded::find("none-such").is_none());
/// ```
pub fn find(name: &str) -> Option<Scenario> {
    if let Some(text) = text(name) {
        return Some(read(name, text));
    }
    all().find(|scenario| scenario.file().alias.as_ref().is_some_and(|alias| alias.eq_ignore_ascii_case(name)))
}

fn read(id: &str, text: &str) -> Scenario {
    match Scenario::parse(&format!("{id}.json"), text) {
        Ok(scenario) => scenario,
        // The tests read every one of them.
        Err(error) => unreachable!("a file of the library is wrong: {error}"),
    }
}
