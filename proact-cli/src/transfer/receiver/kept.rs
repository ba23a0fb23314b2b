//! The directory of unfinished files: made where a sender asks for it, removed when it is empty.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use proact::backend::{FileKind, OpenFlags};
use proact::operation::{Context, MakeDirectory, Open, OperationId, Remove, StatPath, Sync};
use proact::status::Code;
use proact::sync::Semaphore;

use super::Session;
use super::target::destination;
use crate::path::RelativeName;
use crate::transfer::machine::Machine;
use crate::wire::{Fault, FaultKind};

/// The directory below the destination in which unfinished files lie. No sender may use the name.
pub const DIRECTORY: &str = ".proact-resume";
/// For how long a file that another session works on is waited for. That session has lost its sender as a rule, and
/// makes durable what came: of a file as much as is written between two syncs. One that is alive keeps its file, and
/// nobody waits for that to end.
pub const CLAIM_WAIT: Duration = Duration::from_secs(5);

/// Names of the files that sessions of one receiver are working on: two must not write to one.
#[derive(Clone, Default)]
pub struct Claims(Rc<RefCell<Claimed>>);

#[derive(Default)]
struct Claimed {
    /// Each with a semaphore that reaches 1 when the claim is given up.
    held: BTreeMap<String, Semaphore>,
    /// Sessions that were asked to keep files, and may begin some.
    users: usize,
}

impl Claims {
    /// What tells that the claim on `name` was given up; `None` where there is none.
    pub(super) fn holder(&self, name: &str) -> Option<Semaphore> {
        self.0.borrow().held.get(name).cloned()
    }

    fn release(&self, name: &str) {
        let released = self.0.borrow_mut().held.remove(name);
        if let Some(released) = released {
            // The waits end in the poll that comes. It is signalled once, and by nobody else.
            released.signal(1, None).expect("a rising value");
        }
    }

    /// Counts a session that may use the directory, until what it answers is dropped.
    fn join(&self) -> User {
        self.0.borrow_mut().users += 1;
        User(self.clone())
    }

    /// Whether nobody but one session, who asks, may use the directory.
    fn is_free(&self) -> bool {
        let claimed = self.0.borrow();
        claimed.held.is_empty() && claimed.users <= 1
    }
}

/// A session that may use the directory.
struct User(Claims);

impl Drop for User {
    fn drop(&mut self) {
        self.0.0.borrow_mut().users -= 1;
    }
}

/// What a session knows of the directory.
pub(super) struct Keep {
    pub(super) claims: Claims,
    /// What each open target has claimed.
    pub(super) claimed: HashMap<u32, String>,
    /// The wait for a claim of another session.
    pub(super) awaiting: Option<OperationId>,
    /// The sender asked for it.
    pub(super) asked: bool,
    /// The device of the directory; `None` where there is none.
    pub(super) device: Option<u64>,
    /// From its HELLO until it has looked whether the directory can go, or fails.
    user: Option<User>,
    /// It was looked at whether the directory can go, at the session's end.
    cleared: Option<bool>,
}

impl Keep {
    pub(super) fn new(claims: Claims) -> Keep {
        Keep { claims, claimed: HashMap::new(), awaiting: None, asked: false, device: None, user: None, cleared: None }
    }

    /// Claims `name`, on which there is no claim, for `file`.
    pub(super) fn claim(&mut self, file: u32, name: String) {
        self.claims.0.borrow_mut().held.insert(name.clone(), Semaphore::new(0));
        self.claimed.insert(file, name);
    }

    /// The session begins no more files.
    pub(super) fn leave(&mut self) {
        self.user = None;
    }

    pub(super) fn give_up_claim(&mut self, file: u32) {
        if let Some(name) = self.claimed.remove(&file) {
            self.claims.release(&name);
        }
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        for name in self.claimed.values() {
            self.claims.release(name);
        }
    }
}

/// Whether a sender may not use this name.
pub(super) fn is_reserved(name: &RelativeName) -> bool {
    name.components().next() == Some(DIRECTORY.as_bytes())
}

impl Session {
    pub(super) fn kept_directory(&self) -> PathBuf {
        self.options.into.join(DIRECTORY)
    }

    /// HELLO came: is there anything of earlier transfers? Where the sender may resume, the directory is made.
    pub(super) fn look_for_kept_files(&mut self, asked: bool, cx: &mut Context<'_>) {
        self.keep.asked = asked;
        self.preparing = true;
        let path = self.kept_directory();
        if !asked || !self.options.keep {
            return self.find_kept_directory(cx);
        }
        self.keep.user = Some(self.keep.claims.join());
        self.call(MakeDirectory::new(path).mode(0o700), cx, |session, _, outcome, cx| match outcome.result {
            Ok(()) => session.sync_folder(session.options.into.clone(), cx, Session::find_kept_directory),
            Err(status) if status.code() == Code::AlreadyExists => session.find_kept_directory(cx),
            Err(status) => session.fail(destination(&status), cx),
        });
    }

    fn find_kept_directory(&mut self, cx: &mut Context<'_>) {
        self.call(StatPath::new(self.kept_directory()).no_follow(), cx, |session, _, outcome, cx| {
            session.preparing = false;
            match outcome.result {
                Ok(metadata) if metadata.kind == FileKind::Directory => session.keep.device = Some(metadata.device),
                Ok(_) if session.keep.asked => {
                    let why = format!("{} is no directory", session.kept_directory().display());
                    session.fail(Fault::new(FaultKind::Destination, why), cx);
                }
                Err(status) if status.code() != Code::NotFound && session.keep.asked => {
                    session.fail(destination(&status), cx);
                }
                _ => {}
            }
        });
    }

    /// Makes the names in a directory durable, as far as its file system can.
    fn sync_folder(&mut self, path: PathBuf, cx: &mut Context<'_>, then: fn(&mut Session, &mut Context<'_>)) {
        let open = Open::new(path, OpenFlags::READ | OpenFlags::DIRECTORY);
        self.call(open, cx, move |session, _, outcome, cx| match outcome.result {
            Ok(directory) => {
                // A name that is lost in a crash is a file that begins anew.
                session.call(Sync::all(directory), cx, move |session, _, _, cx| then(session, cx));
            }
            Err(_) => then(session, cx),
        });
    }

    /// At the end of a session that could have left something: the directory goes if nothing is in it. `true`: done.
    pub(super) fn clear_kept_files(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.keep.asked || self.keep.device.is_none() {
            return true;
        }
        if self.keep.cleared.is_none() {
            let free = self.keep.claims.is_free();
            self.keep.cleared = Some(!free);
            if !free {
                // Whoever uses it still looks at its own end.
                self.keep.user = None;
                return true;
            }
            // It is not empty when other files wait for their transfer.
            self.call(Remove::directory(self.kept_directory()), cx, |session, _, _, _| {
                (session.keep.cleared, session.keep.user) = (Some(true), None);
            });
        }
        self.keep.cleared == Some(true)
    }
}

/// Removes what no transfer has gone on with for `age`, and answers how many files that were.
///
/// # Errors
/// The system's, when the directory cannot be read.
pub fn sweep(into: &Path, age: std::time::Duration) -> std::io::Result<usize> {
    let directory = match std::fs::read_dir(into.join(DIRECTORY)) {
        Ok(directory) => directory,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in directory {
        let entry = entry?;
        let old = entry.metadata()?.modified()?.elapsed().is_ok_and(|since| since > age);
        if old && std::fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}
