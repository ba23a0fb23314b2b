//! What a case works with: a proactor of its configuration, watched operations, and patience.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use proact::backend::{Capabilities, OpenFlags};
use proact::operation::{Accept, Complete, Connect, Context, Kind, Op, Open, Outcome, Terminal};
use proact::proactor::{Builder, Proactor};
use proact::resource::{Address, Domain, File, Socket, SocketOptions};
use proact::status::{Code, Result, Status};
use proact::time::Timeout;

use crate::config::Configuration;
#[cfg(unix)]
use crate::peer::Peer;
use crate::system::Folder;

/// How long a case waits for one thing.
pub fn patience() -> Duration {
    // Read once: cases that count allocations wait as well.
    static PATIENCE: OnceLock<Duration> = OnceLock::new();
    *PATIENCE.get_or_init(|| {
        let seconds = std::env::var("PROACT_CTS_PATIENCE").ok().and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or(10))
    })
}

/// How many times slower than a real machine this one is taken to be, by how much patience it is given: what a case
/// measures of time is measured as much more generously, and more often.
pub fn slowness() -> u32 {
    (patience().as_secs() / 10).max(1) as u32
}

/// A case's workplace. It is also its proactor: `cts.submit(...)`, `cts.cancel(...)`.
pub struct Cts {
    /// Which configuration this is.
    pub config: Configuration,
    proactor: Option<Proactor>,
    folder: Option<Folder>,
    order: Arc<AtomicUsize>,
    stage: Arc<Mutex<String>>,
}

impl Cts {
    /// Another proactor of a case's configuration, for another thread.
    pub fn beside(config: Configuration) -> Cts {
        Cts::new(config, Arc::default())
    }

    pub(crate) fn new(config: Configuration, stage: Arc<Mutex<String>>) -> Cts {
        let mut cts = Cts { config, proactor: None, folder: None, order: Arc::default(), stage };
        cts.rebuild(|builder| builder);
        cts
    }

    /// Takes another proactor of the same configuration, built with other options.
    pub fn rebuild(&mut self, options: impl FnOnce(Builder) -> Builder) {
        let built = options(self.config.builder()).build();
        self.proactor = Some(built.unwrap_or_else(|status| panic!("building {}: {status}", self.config.name)));
    }

    /// Takes the proactor out, to end it in some way of the case's own.
    pub fn take(&mut self) -> Proactor {
        self.proactor.take().expect("the proactor was taken before")
    }

    /// The end of every case: nothing may be left that does not end.
    pub(crate) fn end(&mut self) {
        self.say("the shutdown at the end of the case");
        if let Some(proactor) = self.proactor.take() {
            let left = proactor.shutdown(patience());
            assert_eq!(left, 0, "operations that the shutdown at the end could not end");
        }
    }

    /// What the case does now: shown if it never comes back from it.
    pub fn say(&self, what: &str) {
        what.clone_into(&mut self.stage.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Polls until `done`. Fails when that takes too long, which includes being woken too late.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        self.until_with(what, |_| done());
    }

    /// As [`Cts::until`], with a look at the proactor.
    #[track_caller]
    pub fn until_with(&mut self, what: &str, mut done: impl FnMut(&mut Proactor) -> bool) {
        self.say(what);
        let deadline = self.now() + patience();
        while !done(self) {
            self.poll(deadline).expect("poll");
            // What comes only with the deadline came without a wake.
            assert!(self.now() < deadline, "waited in vain for {what}; pending: {}", self.pending());
        }
    }

    /// Polls until nothing is in flight.
    #[track_caller]
    pub fn drain(&mut self) {
        self.until_with("everything in flight to end", |proactor| proactor.pending() == 0);
    }

    /// A few passes that take what is there and do not wait: for what must *not* happen.
    #[track_caller]
    pub fn look(&mut self) {
        for _ in 0..5 {
            self.poll(Timeout::Immediate).expect("poll");
        }
    }

    /// An operation that is watched.
    #[track_caller]
    pub fn watch<K: Kind>(&self, kind: K) -> (Box<Op<K, Tell<K>>>, Watch<K>) {
        let (told, more) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let tell = Tell { told: told.clone(), more: more.clone(), order: self.order.clone() };
        (Op::new(kind, tell), Watch { told, more })
    }

    /// Submits one operation and watches it.
    #[track_caller]
    pub fn start<K: Kind>(&mut self, kind: K) -> Watch<K> {
        let (op, watch) = self.watch(kind);
        self.submit(op).unwrap_or_else(|refused| panic!("refused: {refused}"));
        watch
    }

    /// Submits one operation and waits for its end.
    #[track_caller]
    pub fn one<K: Kind>(&mut self, kind: K) -> Told<K> {
        let watch = self.start(kind);
        self.until("one operation to end", || watch.is_done());
        watch.only()
    }

    /// The output of one operation that must succeed.
    #[track_caller]
    pub fn get<K: Kind>(&mut self, kind: K) -> K::Output {
        self.one(kind).result.unwrap_or_else(|status| panic!("{status:?}"))
    }

    /// The failure of one operation that must fail.
    #[track_caller]
    pub fn fails<K: Kind>(&mut self, kind: K) -> Status {
        self.one(kind).status()
    }

    /// A path in the case's own folder.
    pub fn path(&mut self, name: &str) -> PathBuf {
        if self.config.is_simulated() {
            self.config.host().put_directory("/case").expect("a folder in the simulated world");
            return PathBuf::from("/case").join(name);
        }
        let folder = self.folder.get_or_insert_with(|| Folder::new().expect("a folder for temporary files"));
        folder.path().join(name)
    }

    /// Lets go of the case's own folder, with all that is in it; the next path is in a new one.
    pub fn clear_folder(&mut self) {
        if self.config.is_simulated() {
            self.config.new_world();
            self.rebuild(|builder| builder);
        }
        self.folder = None;
    }

    /// A new file in the case's own folder, with this content, open for reading and writing.
    #[track_caller]
    pub fn file(&mut self, name: &str, content: &[u8]) -> File {
        let path = self.path(name);
        self.write(&path, content);
        self.get(Open::new(path, OpenFlags::READ | OpenFlags::WRITE))
    }

    /// Writes a whole file, as another program would.
    #[track_caller]
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let (path, content) = (path.as_ref(), content.as_ref());
        if self.config.is_simulated() {
            return self.config.host().put_file(text(path), content).expect("a simulated file");
        }
        std::fs::write(path, content).expect("a temporary file");
    }

    /// Reads a whole file, as another program would.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> Vec<u8> {
        if self.config.is_simulated() {
            return self.config.host().read_file(text(path.as_ref())).expect("a simulated file");
        }
        std::fs::read(path).expect("a temporary file")
    }

    /// Reads a whole file in the case's own folder, as another program would.
    #[track_caller]
    pub fn content(&mut self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        self.read(path)
    }

    /// Whether a path leads to anything, as another program would see it.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        match self.config.is_simulated() {
            true => self.config.host().exists(text(path.as_ref())),
            false => path.as_ref().exists(),
        }
    }

    /// Makes a directory, as another program would.
    #[track_caller]
    pub fn make_directory(&self, path: impl AsRef<Path>) {
        if self.config.is_simulated() {
            return self.config.host().put_directory(text(path.as_ref())).expect("a simulated directory");
        }
        std::fs::create_dir_all(path).expect("a temporary directory");
    }

    /// Makes a symbolic link that says `target`, as another program would.
    #[cfg(unix)]
    #[track_caller]
    pub fn symlink(&self, target: impl AsRef<Path>, link: impl AsRef<Path>) {
        if self.config.is_simulated() {
            let (target, link) = (text(target.as_ref()), text(link.as_ref()));
            return self.config.host().put_link(link, target).expect("a simulated link");
        }
        std::os::unix::fs::symlink(target, link).expect("a temporary link");
    }

    /// A listener on a loopback port that the system chooses, and its address.
    #[track_caller]
    pub fn listener(&mut self) -> (Socket, Address) {
        self.listener_on("127.0.0.1:0", &SocketOptions::default())
    }

    /// A listener on `address`, and the address that it really has.
    #[track_caller]
    pub fn listener_on(&mut self, address: &str, options: &SocketOptions) -> (Socket, Address) {
        let address: Address = address.parse().expect("an address");
        let listener = self.handle().listen(&address, options).unwrap_or_else(|status| panic!("{status:?}"));
        let address = listener.local_address().expect("a bound socket has an address");
        (listener, address)
    }

    /// Two ends of a loopback connection: who connected, who accepted.
    #[track_caller]
    pub fn pair(&mut self) -> (Socket, Socket) {
        self.pair_on("127.0.0.1:0", &SocketOptions::default())
    }

    /// Two ends of a connection over `address`.
    #[track_caller]
    pub fn pair_on(&mut self, address: &str, options: &SocketOptions) -> (Socket, Socket) {
        let (listener, address) = self.listener_on(address, options);
        let client = self.handle().socket(Domain::of(&address), options).expect("a socket");
        let accepted = self.start(Accept::new(listener));
        self.get(Connect::new(client.clone(), address));
        self.until("the connection to be accepted", || accepted.is_done());
        (client, accepted.only().result.expect("an accept").socket)
    }

    /// Somebody who has connected to a listener of the case, and is no part of what it tests.
    #[cfg(unix)]
    #[track_caller]
    pub fn peer(&self, listener: &Address) -> Peer {
        Peer::connect(self.config, listener).unwrap_or_else(|status| panic!("{status:?}"))
    }

    /// Descriptors that are open now: this process's, or those of everybody on the case's simulated host.
    #[cfg(unix)]
    pub fn descriptors(&self) -> usize {
        if self.config.is_simulated() { self.config.host().descriptors() } else { crate::system::descriptors() }
    }

    /// Does something on another thread, and waits for it; in a simulated world, which has one, on this.
    #[track_caller]
    pub fn elsewhere<T: Send + 'static>(&self, does: impl FnOnce() -> T + Send + 'static) -> T {
        if self.config.is_simulated() {
            return does();
        }
        let thread = std::thread::spawn(does);
        eventually("another thread", || thread.is_finished());
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Whether chains with a semaphore wait at their head go to the kernel here.
    pub fn lowers_waits(&self) -> bool {
        self.handle().capabilities().contains(Capabilities::KERNEL_CHAINS | Capabilities::KERNEL_WAIT_CHAINS)
    }

    /// Whether chains go to the kernel here.
    pub fn lowers_chains(&self) -> bool {
        self.handle().capabilities().contains(Capabilities::KERNEL_CHAINS)
    }
}

impl Deref for Cts {
    type Target = Proactor;

    fn deref(&self) -> &Proactor {
        self.proactor.as_ref().expect("the case has taken its proactor")
    }
}

impl DerefMut for Cts {
    fn deref_mut(&mut self) -> &mut Proactor {
        self.proactor.as_mut().expect("the case has taken its proactor")
    }
}

/// What one callback told.
pub struct Told<K: Kind> {
    /// The outcome.
    pub result: Result<K::Output>,
    /// Whether the step ran in the kernel's chain.
    pub lowered: bool,
    /// What became of it.
    pub terminal: Terminal,
    /// Whether the kernel says that it copied nothing.
    pub zero_copy: bool,
    /// Bytes that moved.
    pub moved: usize,
    /// The operation's parameters, back.
    pub kind: K,
    /// Its place among all callbacks of the case.
    pub order: usize,
    /// The thread it ran on.
    pub thread: std::thread::ThreadId,
}

impl<K: Kind> Told<K> {
    /// Why it failed.
    #[track_caller]
    pub fn status(self) -> Status {
        match self.result {
            Ok(_) => panic!("it succeeded"),
            Err(status) => status,
        }
    }
}

type Calls<K> = Arc<Mutex<Vec<Told<K>>>>;
type More<K> = Arc<Mutex<Vec<Result<<K as Kind>::Output>>>>;

/// The state of a watched operation: it notes every callback.
pub struct Tell<K: Kind> {
    told: Calls<K>,
    more: More<K>,
    order: Arc<AtomicUsize>,
}

impl<K: Kind> Complete<K> for Tell<K> {
    fn more(&mut self, _: &K, outcome: Outcome<K>, _: &mut Context<'_>) {
        assert!(lock(&self.told).is_empty(), "an outcome after the last one");
        lock(&self.more).push(outcome.result);
    }

    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let Op { kind, state, .. } = *op;
        let order = state.order.fetch_add(1, Ordering::Relaxed);
        let (terminal, lowered, zero_copy) = (outcome.terminal(), outcome.lowered(), outcome.zero_copy());
        let Outcome { result, moved, .. } = outcome;
        let thread = std::thread::current().id();
        let told = Told { result, lowered, terminal, zero_copy, moved, kind, order, thread };
        lock(&state.told).push(told);
    }
}

/// The case's side of a watched operation.
pub struct Watch<K: Kind> {
    told: Calls<K>,
    more: More<K>,
}

fn lock<T>(calls: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Kind> Watch<K> {
    /// How many outcomes before the last were told and not taken yet.
    pub fn outcomes(&self) -> usize {
        lock(&self.more).len()
    }

    /// Takes the outcomes before the last that were told since the last call.
    pub fn take_outcomes(&self) -> Vec<Result<K::Output>> {
        std::mem::take(&mut lock(&self.more))
    }

    /// Whether its callback has run.
    pub fn is_done(&self) -> bool {
        self.calls() > 0
    }

    /// How often its callback has run.
    pub fn calls(&self) -> usize {
        lock(&self.told).len()
    }

    /// Whether the operation's state is gone: callback run, storage free.
    pub fn is_released(&self) -> bool {
        Arc::strong_count(&self.told) == 1
    }

    /// [`Code::Ok`], or the code of its failure; `None` before its end.
    pub fn code(&self) -> Option<Code> {
        let told = lock(&self.told);
        told.last().map(|told| told.result.as_ref().map_or_else(Status::code, |_| Code::Ok))
    }

    /// What the callback told. Fails unless it ran exactly once and gave everything back.
    #[track_caller]
    pub fn only(self) -> Told<K> {
        let mut told = std::mem::take(&mut *lock(&self.told));
        assert_eq!(told.len(), 1, "callbacks of one operation");
        // On another thread the callback may still be returning.
        eventually("the operation's state, which outlives its callback", || self.is_released());
        told.remove(0)
    }

    /// The place of its callback among all of the case.
    #[track_caller]
    pub fn order(&self) -> usize {
        lock(&self.told).first().expect("its callback has not run").order
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the suite's own is UTF-8")
}

/// Waits for something outside of any proactor, or that ends no poll. Fails when that takes too long.
#[track_caller]
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + patience();
    while !done() {
        assert!(std::time::Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}
