//! Answers on standard output: text for people, one object for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::exit::{Exit, Failure};

/// The answer, with how it ended before it.
#[derive(Serialize)]
pub(super) struct Outcome<'a, T> {
    outcome: &'static str,
    exit_code: u8,
    error: Option<&'a str>,
    #[serde(flatten)]
    answer: Option<T>,
}

impl<'a, T> Outcome<'a, T> {
    pub(super) fn ok(answer: T) -> Outcome<'a, T> {
        Outcome { outcome: "ok", exit_code: Exit::Ok.code(), error: None, answer: Some(answer) }
    }

    fn failed(failure: &'a Failure) -> Outcome<'a, T> {
        Outcome::failed_with(failure, None)
    }

    /// A failure of which there is more to tell than its words.
    pub(super) fn failed_with(failure: &'a Failure, answer: Option<T>) -> Outcome<'a, T> {
        let error = Some(failure.message.as_str());
        Outcome { outcome: "failed", exit_code: failure.exit.code(), error, answer }
    }
}

pub(super) fn json(answer: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(answer);
    text.map(|text| text + "\n").map_err(|error| Failure::new(Exit::Failed, format!("the answer as JSON: {error}")))
}

/// A closed standard output is no reason to fail.
pub(super) fn say(text: &str) {
    say_bytes(text.as_bytes());
}

/// As [`say`].
pub(super) fn say_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// The outcome, after those who read JSON were told of a failure: they get their object however it ends.
pub(super) fn told(outcome: Result<(), Failure>, as_json: bool) -> Result<(), Failure> {
    if let (Err(failure), true) = (&outcome, as_json) {
        say(&json(&Outcome::<()>::failed(failure))?);
    }
    outcome
}
