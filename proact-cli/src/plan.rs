//! The list of what is to be sent, made by walking the sources before anything moves.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use proact::status::Operation;

use crate::exit::{Exit, Failure, Place};
use crate::path::RelativeName;
use crate::source::{Identity, Node, NodeKind, Tree};
use crate::wire::{self, Entry, EntryKind, Totals};

/// What planning is told besides the sources.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Send what symbolic links lead to, instead of refusing them.
    pub follow: bool,
    /// Most entries, for all sources together.
    pub entries_max: u32,
    /// Where an embedded receiver will write: no source may contain it, or the transfer would feed on itself.
    pub into: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options { follow: false, entries_max: wire::FILES_MAX, into: None }
    }
}

/// One file or directory to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Where it lies here.
    pub path: PathBuf,
    /// How it is announced.
    pub entry: Entry,
    /// Which node it was: one that is another when it is opened was exchanged in between.
    pub identity: Identity,
}

/// Everything to send, in the order of sending: sources as given, within each sorted by name, a directory before what
/// is in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The entries.
    pub entries: Vec<Planned>,
    /// Files among them.
    pub files: u32,
    /// Directories among them.
    pub directories: u32,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Plan {
    /// Walks `sources`.
    ///
    /// A file is sent under its own name; a directory under its own name with everything in it. `.` and paths that end
    /// in `..` are sent under the name of the directory they lead to.
    ///
    /// # Errors
    /// [`Exit::Source`], naming the path and the cause: missing or unreadable, a symbolic link without
    /// [`Options::follow`], links that lead in a circle, a device, pipe or socket, two sources of one name, a name that
    /// cannot be sent, too many entries, a source that contains the destination.
    pub fn build(tree: &impl Tree, sources: &[PathBuf], options: &Options) -> Result<Plan, Failure> {
        let into = options.into.as_deref().map(|into| resolve(tree, into));
        let mut walk = Walk { tree, options, into, plan: Plan::default() };
        let mut names: HashMap<RelativeName, &Path> = HashMap::new();
        for source in sources {
            let (path, name) = walk.root(source)?;
            if let Some(earlier) = names.insert(name.clone(), source) {
                let reason = format!("would be written as {name}, and so would {}", earlier.display());
                return Err(refuse(source, reason));
            }
            walk.source(path, name)?;
        }
        Ok(walk.plan)
    }

    /// What HELLO announces.
    pub fn totals(&self) -> Totals {
        // Both counts together are at most the limit of entries, which has 32 bits.
        Totals { entries: self.files + self.directories, bytes: self.bytes }
    }
}

struct Walk<'a, T> {
    tree: &'a T,
    options: &'a Options,
    /// Absolute, without links.
    into: Option<PathBuf>,
    plan: Plan,
}

/// A directory being walked.
struct Level {
    path: PathBuf,
    name: RelativeName,
    /// The names in it that are still to be visited, last one first.
    rest: Vec<OsString>,
    identity: Identity,
}

impl<T: Tree> Walk<'_, T> {
    /// The path of a source without a slash at its end, which would follow a link, and the name it is sent under.
    fn root(&self, source: &Path) -> Result<(PathBuf, RelativeName), Failure> {
        if source.as_os_str().is_empty() {
            return Err(Failure::new(Exit::Source, "a source has an empty name"));
        }
        let path: PathBuf = source.components().collect();
        let named = match path.components().next_back() {
            Some(Component::Normal(_)) => path.clone(),
            _ => self.tree.canonical(&path).map_err(|error| unreadable(source, Operation::FileStat, &error))?,
        };
        let Some(name) = named.file_name() else {
            return Err(refuse(source, "has no name of its own to be sent under"));
        };
        let name = RelativeName::from_local(Path::new(name)).map_err(|error| refuse(source, error))?;
        Ok((path, name))
    }

    /// Visits a source and all that is below it, with a stack of its own: a hostile tree may be deeper than a thread's.
    fn source(&mut self, path: PathBuf, name: RelativeName) -> Result<(), Failure> {
        let mut levels = Vec::new();
        self.visit(path, name, &mut levels)?;
        while let Some(level) = levels.last_mut() {
            let Some(child) = level.rest.pop() else {
                levels.pop();
                continue;
            };
            let path = level.path.join(&child);
            let name = level.name.child(&child).map_err(|error| refuse(&path, error))?;
            self.visit(path, name, &mut levels)?;
        }
        Ok(())
    }

    fn visit(&mut self, path: PathBuf, name: RelativeName, levels: &mut Vec<Level>) -> Result<(), Failure> {
        let node = self.look(&path)?;
        let kind = match node.kind {
            NodeKind::File => EntryKind::File,
            NodeKind::Directory => EntryKind::Directory,
            NodeKind::Link => return Err(refuse(&path, "is a symbolic link; add --follow to send what it points to")),
            NodeKind::Other => return Err(refuse(&path, "is a device, pipe or socket and cannot be sent")),
        };
        self.add(&path, &name, kind, &node)?;
        if kind == EntryKind::Directory {
            if levels.iter().any(|level| level.identity == node.identity) {
                return Err(refuse(&path, "is a symbolic link that leads back to a directory above it"));
            }
            // Below a source that does not contain the destination only a followed link can lead to it again.
            if levels.is_empty() || self.options.follow {
                self.check_destination(&path)?;
            }
            let mut rest =
                self.tree.list(&path).map_err(|error| unreadable(&path, Operation::DirectoryList, &error))?;
            rest.sort_unstable_by(|a, b| descending(a, b));
            levels.push(Level { path, name, rest, identity: node.identity });
        }
        Ok(())
    }

    fn look(&self, path: &Path) -> Result<Node, Failure> {
        let node = self.tree.stat(path, false).map_err(|error| unreadable(path, Operation::FileStat, &error))?;
        if node.kind != NodeKind::Link || !self.options.follow {
            return Ok(node);
        }
        self.tree.stat(path, true).map_err(|error| {
            let cause = Failure::from_io(Place::Source, path.display(), Operation::FileStat, &error);
            Failure::new(cause.exit, format!("{cause}; it is a symbolic link that leads nowhere"))
        })
    }

    fn add(&mut self, path: &Path, name: &RelativeName, kind: EntryKind, node: &Node) -> Result<(), Failure> {
        let plan = &mut self.plan;
        if plan.totals().entries >= self.options.entries_max {
            let reason = format!("is one entry more than the {} that one transfer may have", self.options.entries_max);
            return Err(refuse(path, reason));
        }
        let bytes = plan.bytes.checked_add(node.size).filter(|&bytes| bytes <= wire::SIZE_MAX);
        plan.bytes = bytes.ok_or_else(|| refuse(path, "makes the transfer larger than 2^63 bytes"))?;
        match kind {
            EntryKind::File => plan.files += 1,
            EntryKind::Directory => plan.directories += 1,
        }
        let entry = Entry {
            kind,
            mode: node.mode,
            modified_seconds: node.modified_seconds,
            modified_nanoseconds: node.modified_nanoseconds,
            size: node.size,
            name: name.clone(),
        };
        plan.entries.push(Planned { path: path.into(), entry, identity: node.identity.clone() });
        Ok(())
    }

    fn check_destination(&self, directory: &Path) -> Result<(), Failure> {
        let Some(into) = &self.into else { return Ok(()) };
        match self.tree.canonical(directory) {
            Ok(directory_path) if into.starts_with(&directory_path) => Err(refuse(
                directory,
                format!("contains the destination {}; name one outside it with --into", into.display()),
            )),
            _ => Ok(()),
        }
    }
}

/// The canonical path of what may not exist yet: that of its nearest existing ancestor, and the rest as it stands.
fn resolve(tree: &impl Tree, path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        let probe = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        if let Ok(canonical) = tree.canonical(probe) {
            return missing.iter().rev().fold(canonical, |path, part| path.join(part));
        }
        let (Some(parent), Some(last)) = (existing.parent(), existing.file_name()) else { return path.into() };
        missing.push(last);
        existing = parent;
    }
}

/// Last name first, by bytes, so that popping visits them in ascending order on every machine.
fn descending(a: &OsStr, b: &OsStr) -> Ordering {
    b.as_encoded_bytes().cmp(a.as_encoded_bytes())
}

fn refuse(path: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Source, format!("{} {reason}", path.display()))
}

fn unreadable(path: &Path, operation: Operation, error: &std::io::Error) -> Failure {
    Failure::from_io(Place::Source, path.display(), operation, error)
}

#[cfg(all(test, unix))]
mod tests;
