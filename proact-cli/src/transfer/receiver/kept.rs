//! The directory of unfinished files: made where a sender asks for it, removed when it is empty.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use proact::backend::{FileKind, OpenFlags};
use proact::operation::{Context, MakeDirectory, Open, Remove, StatPath, Sync};
use proact::status::Code;

use super::Session;
use super::target::destination;
use crate::path::RelativeName;
use crate::transfer::machine::Machine;
use crate::wire::{Fault, FaultKind};

/// The directory below the destination in which unfinished files lie. No sender may use the name.
pub const DIRECTORY: &str = ".proact-resume";
/// Names of the files that sessions of one receiver are working on: two must not write to one.
pub type Claims = Rc<RefCell<BTreeSet<String>>>;

/// What a session knows of the directory.
pub(super) struct Keep {
    pub(super) claims: Claims,
    /// What each open target has claimed.
    pub(super) claimed: HashMap<u32, String>,
    /// The sender asked for it.
    pub(super) asked: bool,
    /// The device of the directory; `None` where there is none.
    pub(super) device: Option<u64>,
    /// It was looked at whether the directory can go, at the session's end.
    cleared: Option<bool>,
}

impl Keep {
    pub(super) fn new(claims: Claims) -> Keep {
        Keep { claims, claimed: HashMap::new(), asked: false, device: None, cleared: None }
    }

    pub(super) fn give_up_claim(&mut self, file: u32) {
        if let Some(name) = self.claimed.remove(&file) {
            self.claims.borrow_mut().remove(&name);
        }
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        for name in self.claimed.values() {
            self.claims.borrow_mut().remove(name);
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
        if !self.keep.asked || self.keep.device.is_none() || !self.keep.claims.borrow().is_empty() {
            return true;
        }
        if self.keep.cleared.is_none() {
            self.keep.cleared = Some(false);
            // It is not empty when other files wait for their transfer.
            self.call(Remove::directory(self.kept_directory()), cx, |session, _, _, _| {
                session.keep.cleared = Some(true);
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
