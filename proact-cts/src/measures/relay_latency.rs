//! What a relay adds on the way from one thread to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use proact::operation::{Op, RelayMany};
use proact::proactor::Handle;
use proact::status::{Operation, Status};
use proact::sync::Event;
use proact::time::Timeout;

use super::compare::compare;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::peer::{Peer, pinned};
use super::raw::{RawBell, RawEvent};
use super::tally;
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[Measure::each("relay/latency", latency)];

/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 1000;

fn failed(config: Configuration) -> impl Fn(Status) -> Failure {
    move |status| Failure::status(config.name, &status)
}

fn no_floor(error: std::io::Error) -> Failure {
    Failure::new(format!("the floor: {error}"))
}

/// A proactor that sleeps on a thread of its own, with a relay from the event that is returned to `sink`.
fn relaying(config: Configuration, sink: &RawEvent) -> Result<(Event, Peer), Status> {
    let sink = sink
        .try_clone()
        .map_err(|error| Status::from_os_error(Operation::EventCreate, error.raw_os_error().unwrap_or(0)))?;
    let (tell, told) = channel::<Result<(Event, Handle), Status>>();
    let there: Arc<std::sync::OnceLock<Handle>> = Arc::default();
    let last = there.clone();
    let body = move |stop: &AtomicBool| {
        let relay = || {
            let mut proactor = config.builder().build()?;
            let source = proactor.handle().event()?;
            let sink = proactor.handle().import_event(sink)?;
            proactor.submit(Op::new(RelayMany::new(source.clone(), sink), ())).map_err(|refused| refused.status)?;
            // Until it is armed.
            proactor.poll(Timeout::Immediate)?;
            Ok((proactor, source))
        };
        let (mut proactor, source) = match relay() {
            Ok(made) => made,
            Err(status) => return tell.send(Err(status)).expect("the other side listens"),
        };
        tell.send(Ok((source, proactor.handle().clone()))).expect("the other side listens");
        while !stop.load(Ordering::SeqCst) {
            proactor.poll(Timeout::Infinite).expect("the backend works");
        }
    };
    let peer = Peer::spawn(body, move || last.get().into_iter().for_each(Handle::wake));
    let (source, handle) = told.recv().expect("the thread tells")?;
    let _ = there.set(handle);
    Ok((source, peer))
}

/// From before the source is set by one thread until it has polled and read the sink, which a proactor on another
/// thread sets; both on one processor. The floor is a bare loop on the other thread.
fn latency(config: Configuration) -> Result<Figures, Failure> {
    let _pinned = pinned().map_err(no_floor)?;
    let sink = RawEvent::new().map_err(no_floor)?;
    let (source, _peer) = relaying(config, &sink).map_err(failed(config))?;
    let mut subject = || {
        source.set().expect("an open event");
        sink.wait();
    };
    let (from, to) = (RawEvent::new().map_err(no_floor)?, RawEvent::new().map_err(no_floor)?);
    let (theirs, sets) = (from.clone(), to.clone());
    let body = move |stop: &AtomicBool| {
        let mut bell = RawBell::new(config, &theirs).expect("as for the other rows");
        while !stop.load(Ordering::SeqCst) {
            bell.wait();
            sets.ring();
        }
    };
    let last = from.clone();
    let _floor = Peer::spawn(body, move || last.ring());
    let floor = || {
        from.ring();
        to.wait();
    };
    let timing = compare(&mut subject, Some(floor));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| subject()));
    Ok(Figures::of(timing, 1.0, "", counted.over(f64::from(COUNTED_ROUNDS))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn what_is_set_comes_out_on_every_backend_and_the_thread_ends() {
        for config in settings() {
            let sink = RawEvent::new().unwrap();
            match relaying(config, &sink) {
                Ok((source, _peer)) => (0..3).for_each(|_| {
                    source.set().unwrap();
                    sink.wait();
                }),
                Err(status) => eprintln!("skipped: {}: {status}", config.name),
            }
        }
    }
}
