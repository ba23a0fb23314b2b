//! Semaphores that a program is given, and when the host signals them.

use std::sync::Arc;

use proact::status::{Operation, Status};
use proact::sync::Semaphore;
use proact::time::Time;
use proact_vm::{Error, Ref};
use serde::Serialize;

use crate::cli::Run;
use crate::exit::{Exit, Failure};

/// All of them, by name.
#[derive(Default)]
pub(super) struct Semaphores {
    all: Vec<(String, Arc<Semaphore>)>,
    signals: Vec<Signal>,
    /// When the call began.
    began: Option<Time>,
}

struct Signal {
    semaphore: Arc<Semaphore>,
    value: u64,
    /// After the begin; `None` for the end of the call.
    after: Option<std::time::Duration>,
    is_done: bool,
}

/// What became of one.
#[derive(Serialize)]
pub(super) struct Shown {
    name: String,
    value: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl Semaphores {
    /// # Errors
    /// A name twice; a signal of one that is not there.
    pub(super) fn new(options: &Run) -> Result<Semaphores, Failure> {
        let usage = |message: String| Err(Failure::new(Exit::Usage, message));
        let mut semaphores = Semaphores::default();
        for named in &options.semaphores {
            if semaphores.find(&named.name).is_some() {
                return usage(format!("--semaphore: {:?} is made twice", named.name));
            }
            semaphores.all.push((named.name.clone(), Arc::new(Semaphore::new(named.value))));
        }
        for planned in &options.signals {
            let Some(semaphore) = semaphores.find(&planned.name).cloned() else {
                return usage(format!("--signal: there is no --semaphore {:?}", planned.name));
            };
            let (value, after) = (planned.value, planned.after);
            semaphores.signals.push(Signal { semaphore, value, after, is_done: false });
        }
        Ok(semaphores)
    }

    fn find(&self, name: &str) -> Option<&Arc<Semaphore>> {
        self.all.iter().find(|(known, _)| known == name).map(|(_, semaphore)| semaphore)
    }

    /// A reference for the program.
    pub(super) fn reference(&self, name: &str) -> Option<Ref> {
        self.find(name).cloned().map(Ref::from)
    }

    /// The call begins: the time of signals counts from now.
    pub(super) fn begin(&mut self, now: Time) {
        self.began = Some(now);
    }

    /// Signals what is due, and says when the next one is.
    pub(super) fn due(&mut self, now: Time) -> Option<Time> {
        let began = self.began?;
        let mut next: Option<Time> = None;
        for signal in self.signals.iter_mut().filter(|signal| !signal.is_done) {
            match signal.after.map(|after| began + after) {
                Some(time) if time <= now => signal.now(),
                Some(time) => next = Some(next.map_or(time, |next| next.min(time))),
                None => {}
            }
        }
        next
    }

    /// The call has ended so: what waits for its end is signalled, or fails with it.
    pub(super) fn end(&mut self, failure: Option<&Error>) {
        for signal in self.signals.iter_mut().filter(|signal| !signal.is_done && signal.after.is_none()) {
            match failure {
                None => signal.now(),
                Some(error) => {
                    let status = Status::new(error.code(), Operation::None).with_message(error.message().to_owned());
                    signal.semaphore.fail(status);
                }
            }
        }
    }

    /// What they have come to.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let shown = |(name, semaphore): &(String, Arc<Semaphore>)| Shown {
            name: name.clone(),
            value: semaphore.value(),
            failure: semaphore.status().map(|status| status.to_string()),
        };
        self.all.iter().map(shown).collect()
    }
}

impl Signal {
    fn now(&mut self) {
        self.is_done = true;
        // One that the program has failed stays failed: that is told with what the semaphores came to.
        let _ = self.semaphore.signal_if_later(self.value, None);
    }
}
