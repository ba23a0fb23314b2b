//! The receiver that `transfer` starts in its own process: a thread with a proactor of its own, on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use proact::resource::Address;

use super::Interrupt;
use super::receive::{Listening, serve};
use crate::cli::{BackendChoice, Transfer};
use crate::exit::{Exit, Failure};
use crate::transfer::random::Random;
use crate::transfer::receiver::{EARLY_SYNC, ReceiveOptions};
use crate::transfer::trace::Trace;
use crate::wire::Limits;

/// A receiver for one session.
pub struct Embedded {
    address: Address,
    interrupt: Arc<Interrupt>,
    thread: JoinHandle<Result<u64, Failure>>,
}

impl Embedded {
    /// Starts it; it listens when this returns.
    pub fn start(
        options: &Transfer,
        into: &Path,
        random: &mut Random,
        trace: Option<&Trace>,
    ) -> Result<Embedded, Failure> {
        let receiving = ReceiveOptions {
            into: into.into(),
            overwrite: options.overwrite,
            timeout: options.timeout,
            limits: Limits { chunk_max: options.chunk_size, ..Limits::default() },
            in_flight: options.in_flight,
            keep: options.resume,
            tls: None,
            sync_every: EARLY_SYNC,
        };
        let interrupt = Arc::new(Interrupt::default());
        let (seed, backend, raised) = (random.bytes(), options.backend, interrupt.clone());
        let (sender, receiver) = channel();
        let trace = trace.cloned();
        let body = move || run(backend, receiving, &seed, &raised, &sender, trace);
        let thread = std::thread::Builder::new()
            .name("proact-receive".into())
            .spawn(body)
            .map_err(|error| Failure::new(Exit::Failed, format!("thread: {error}")))?;
        match receiver.recv() {
            Ok(address) => Ok(Embedded { address, interrupt, thread }),
            // It ended before it listened.
            Err(_) => Err(join(thread).err().unwrap_or_else(|| Failure::new(Exit::Failed, "no receiver"))),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// Asks it to end.
    pub fn stop(&self) {
        self.interrupt.raise();
    }

    /// Waits for its end; answers how often it entered the kernel. The sender was told all else.
    pub fn finish(self) -> Result<u64, Failure> {
        // A receiver whose sender has come and gone ends by itself; one to which none came waits for it.
        self.interrupt.raise();
        join(self.thread)
    }
}

fn join(thread: JoinHandle<Result<u64, Failure>>) -> Result<u64, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::new(Exit::Failed, "the embedded receiver panicked")))
}

fn run(
    backend: BackendChoice,
    options: ReceiveOptions,
    seed: &[u8; 32],
    interrupt: &Interrupt,
    address: &Sender<Address>,
    trace: Option<Trace>,
) -> Result<u64, Failure> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
    let mut listening = Listening::start(backend, &at, options, Random::seeded(seed), true)?;
    if let Some(trace) = trace {
        listening.record(trace);
    }
    // Who waits for it cannot have gone: it waits for this thread.
    let _ = address.send(listening.address.clone());
    serve(&mut listening, interrupt, |_, _| {})?;
    let enters = listening.proactor.statistics().enters;
    let left = listening.proactor.pending();
    debug_assert_eq!(left, 0, "operations left in flight");
    Ok(enters)
}
