//! Semaphores that a device drives.

use std::fmt;
use std::panic::Location;

use super::semaphore::{Semaphore, WeakSemaphore};
use crate::causal::Knowledge;
use crate::status::{Code, Operation, Result, Status};

/// A device that drives a semaphore: its queue counts up by itself, and it can be asked to say when it has reached a
/// value.
///
/// The semaphore stays proact's own: who waits, in what order, what a value was caused by, and that a value only rises
/// and a failure stays, is the same for every semaphore. A device is told what is awaited, so that it can arm an
/// interrupt, and reports through its [`Driver`] how far it has come. Whatever it reports, and however late, twice or
/// out of order, it can break none of that.
///
/// ```text
///   someone waits for 5      ->  Timeline::awaited(5)      the device arms its interrupt
///   the interrupt comes      ->  Driver::advance(6, ..)    waits for 5 and 6 end
///   someone waits for 9      ->  Timeline::awaited(9)
///   a program signals 7      ->  Timeline::signalled(7)    work queued on the device behind 7 may start
/// ```
///
/// # Threading
/// The calls come from whatever thread brought the news: one that submits, polls, waits or signals, or the device's own
/// inside [`Driver::advance`]. They come **under no lock** of proact's, and `awaited`, `signalled` and `failed` **one
/// at a time** for one semaphore and in the order in which things happened. So they may call the driver and any
/// semaphore; what they bring about is told after they have returned, never inside. They must not block: a poll thread
/// may be the one that calls. The others (`enqueue_signal`, `enqueue_wait`, `export_primitive`) come from whoever asks
/// for them, several at once if several ask at once.
///
/// A panic in one of them passes to that thread, and the semaphore is as it was.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use proact::causal::Knowledge;
/// use proact::status::Result;
/// use proact::sync::{SemaphoreOptions, Timeline};
///
/// #[derive(Default)]
/// struct Queue { interrupt_at: Mutex<Option<u64>> }
///
/// impl Timeline for Queue {
///     fn awaited(&self, value: u64) {
///         *self.interrupt_at.lock().unwrap() = Some(value);
///     }
/// }
///
/// let queue = Arc::new(Queue::default());
/// let (semaphore, driver) = SemaphoreOptions::new().drive(queue.clone());
/// let waiting = std::thread::spawn({
///     let semaphore = semaphore.clone();
///     move || while semaphore.value() < 3 { std::thread::yield_now() }
/// });
/// driver.advance_tainted(3)?; // this queue says nothing of causes
/// waiting.join().unwrap();
/// assert!(semaphore.is_tainted(3));
/// # Ok::<(), proact::status::Status>(())
/// ```
pub trait Timeline: Send + Sync + 'static {
    /// Someone waits for `value`, and for none below it that the device was told of. The device calls
    /// [`Driver::advance`] when it has reached it, which may be inside this call.
    ///
    /// It comes again when a lower value is awaited, and when this one was reached and another is awaited: so it is
    /// enough to keep the least value of those told and not reached. A wait that is given up is not told; to report
    /// more than was asked for is never wrong.
    fn awaited(&self, value: u64);

    /// A program, or another semaphore that is linked to this one, has signalled `value`: for devices that wait for the
    /// semaphore themselves. Values only rise, and of several in a row perhaps only the last is told.
    fn signalled(&self, value: u64) {
        let _ = value;
    }

    /// The semaphore has failed, by another's word. Nothing is told after it, and nobody waits any more.
    fn failed(&self, status: &Status) {
        let _ = status;
    }

    /// Has the device raise its timeline to `value` when it has done what it was given before. The device reports it
    /// as it reports everything.
    ///
    /// # Errors
    /// Unavailable where the device cannot; what the device answers.
    fn enqueue_signal(&self, value: u64) -> Result {
        let _ = value;
        Err(unavailable("this device takes no signals into its queue"))
    }

    /// Has the device wait until its timeline has reached `value` before it does what it is given after.
    ///
    /// # Errors
    /// Unavailable where the device cannot; what the device answers.
    fn enqueue_wait(&self, value: u64) -> Result {
        let _ = value;
        Err(unavailable("this device takes no waits into its queue"))
    }

    /// Something of the system's, or of the device's, by which others can wait for `value` without proact.
    ///
    /// # Errors
    /// Unavailable, with the reason, where there is nothing of that kind. Who asked goes the portable way then.
    fn export_primitive(&self, value: u64) -> Result<Primitive> {
        let _ = value;
        Err(unavailable("this device exports nothing to wait for"))
    }
}

/// What [`Timeline::export_primitive`] gives out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Primitive {
    /// A descriptor that becomes readable when the value is reached, and stays so. It belongs to who asked. If the
    /// timeline fails first it never does, or reports an error.
    #[cfg(unix)]
    Descriptor(std::os::fd::OwnedFd),
    /// An object of the system's that is signalled when the value is reached, and stays so. It belongs to who asked.
    #[cfg(windows)]
    Handle(std::os::windows::io::OwnedHandle),
    /// A name by which the device's own interface knows the value.
    Native {
        /// Of which interface: what the bits mean.
        interface: &'static str,
        /// The name.
        bits: u64,
    },
}

/// By which a device reports how far it has come: the other side of a [`Timeline`].
///
/// It does not keep the semaphore alive. A device whose driver is dropped is gone: the semaphore fails, Cancelled,
/// unless it has failed before; values that were reached stay reached.
///
/// Any thread may make its calls, several at once, too. They may call the [`Timeline`] back, so they are made under no
/// lock that it takes.
pub struct Driver {
    semaphore: WeakSemaphore,
}

impl Driver {
    pub(super) fn new(semaphore: WeakSemaphore) -> Driver {
        Driver { semaphore }
    }

    /// The device has reached `value`, caused by `causes`: [exact](Knowledge::exact) ones if it knows them all. A value
    /// that the semaphore has already is no error. Says whether the value rose.
    ///
    /// # Errors
    /// The semaphore's failure, if it has failed. InvalidArgument if `value` is above [`Semaphore::VALUE_MAX`].
    /// NotFound when nobody has the semaphore any more.
    #[track_caller]
    pub fn advance(&self, value: u64, causes: &Knowledge) -> Result<bool> {
        let location = Location::caller();
        self.semaphore(location)?.advance_by_device(value, causes, location)
    }

    /// As [`Driver::advance`] for a device that says nothing of causes: the value is
    /// [tainted](Semaphore::signal_tainted).
    ///
    /// # Errors
    /// As [`Driver::advance`].
    #[track_caller]
    pub fn advance_tainted(&self, value: u64) -> Result<bool> {
        let location = Location::caller();
        let unknown = Knowledge::lower_bound(crate::causal::Frontier::new());
        self.semaphore(location)?.advance_by_device(value, &unknown, location)
    }

    /// The device has failed: as [`Semaphore::fail`]. The timeline is not told of it.
    pub fn fail(&self, status: Status) -> bool {
        self.semaphore.upgrade().is_some_and(|semaphore| semaphore.fail_by_device(status))
    }

    /// The least value that anyone waits for now.
    pub fn least_awaited(&self) -> Option<u64> {
        self.semaphore.upgrade()?.least_awaited()
    }

    fn semaphore(&self, location: &'static Location<'static>) -> Result<Semaphore> {
        self.semaphore.upgrade().ok_or_else(|| {
            Status::at(Code::NotFound, Operation::SemaphoreSignal, 0, location)
                .with_message("nobody has the semaphore any more")
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(semaphore) = self.semaphore.upgrade() {
            let gone = Status::new(Code::Cancelled, Operation::SemaphoreSignal)
                .with_message("the device that drives the semaphore is gone");
            semaphore.fail_by_device(gone);
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driver").field(&self.semaphore.upgrade()).finish()
    }
}

/// What a device can do by itself for a semaphore that it drives.
impl Semaphore {
    /// Whether a device drives it.
    pub fn is_driven(&self) -> bool {
        self.timeline().is_some()
    }

    /// Has the device that drives the semaphore raise it to `value` when it has done what it was given before. The
    /// value rises when the device reports it.
    ///
    /// # Errors
    /// Unavailable if no device drives the semaphore, or its device cannot. The semaphore's failure. InvalidArgument if
    /// `value` is not above the present value, or above [`Semaphore::VALUE_MAX`].
    #[track_caller]
    pub fn enqueue_signal(&self, value: u64) -> Result {
        let timeline = self.timeline().ok_or_else(|| self.undriven())?;
        if let Some(status) = self.status() {
            return Err(status);
        }
        let present = self.value();
        if value <= present || value > Semaphore::VALUE_MAX {
            return Err(Status::new(Code::InvalidArgument, Operation::SemaphoreSignal)
                .with_message(format!("value {value} is not above the present value {present}, or no value")));
        }
        timeline.enqueue_signal(value)
    }

    /// Has the device that drives the semaphore wait until it has reached `value` before it does what it is given
    /// after.
    ///
    /// # Errors
    /// Unavailable if no device drives the semaphore, or its device cannot. The semaphore's failure, if it failed below
    /// the value.
    #[track_caller]
    pub fn enqueue_wait(&self, value: u64) -> Result {
        let timeline = self.timeline().ok_or_else(|| self.undriven())?;
        match self.status() {
            Some(status) if value > self.value() => Err(status),
            _ => timeline.enqueue_wait(value),
        }
    }

    /// Something of the system's, or of the device's, by which others can wait for `value` without proact.
    ///
    /// # Errors
    /// Unavailable, with the reason, if no device drives the semaphore or its device has nothing of that kind. The
    /// semaphore's failure, if it failed below the value.
    #[track_caller]
    pub fn export_primitive(&self, value: u64) -> Result<Primitive> {
        let timeline = self.timeline().ok_or_else(|| self.undriven())?;
        match self.status() {
            Some(status) if value > self.value() => Err(status),
            _ => timeline.export_primitive(value),
        }
    }

    #[track_caller]
    #[cold]
    fn undriven(&self) -> Status {
        let status = unavailable("no device drives this semaphore");
        match self.name() {
            Some(name) => status.with_context(format!("{name:?}")),
            None => status,
        }
    }
}

#[track_caller]
#[cold]
fn unavailable(reason: &'static str) -> Status {
    Status::new(Code::Unavailable, Operation::SemaphoreSignal).with_message(reason)
}
