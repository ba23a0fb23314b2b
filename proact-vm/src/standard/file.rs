//! `file`: files beneath granted directories.

use std::fmt;
use std::sync::{Arc, Mutex};

use proact::backend::{FileKind, OpenFlags};
use proact::operation::{Close, Read, Stat, Sync, Write};
use proact::proactor::Handle;
use proact::resource;
use proact::status::Code;

use super::argument::{signed, text, wide};
use super::close::{Held, close};
use super::grants::Directory;
use super::path::Names;
use super::quota::{OPEN_BYTES, Places, Quota, Weigh};
use super::{DirectoryAccess, told};
use crate::error::{Error, Result};
use crate::module::native::{Caller, NativeModule};
use crate::value::{Access, Buffer, Object};

/// Bytes of one operation at most: so much memory a call takes beside its buffer.
const CHUNK: usize = 256 << 10;

/// What a program may ask for when it opens a file; the bits are those of [`OpenFlags`].
const FLAGS: OpenFlags = OpenFlags::READ
    .union(OpenFlags::WRITE)
    .union(OpenFlags::CREATE)
    .union(OpenFlags::CREATE_NEW)
    .union(OpenFlags::TRUNCATE);

/// An open file, as programs hold it: a reference of type `vm.file`.
pub struct File {
    handle: Handle,
    file: resource::File,
    flags: OpenFlags,
    /// What the program has called it.
    name: String,
    place: Held,
}

impl Object for File {
    const TYPE_NAME: &'static str = "vm.file";
}

/// Also when it is closed: it knows its name.
impl Weigh for File {
    fn weight(&self) -> usize {
        OPEN_BYTES + self.name.len()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("name", &self.name).field("file", &self.file).finish_non_exhaustive()
    }
}

impl File {
    /// A file that the host has opened, for a program that is given a reference to it. `file` is of the proactor that
    /// `handle` reaches; `name` is for messages.
    pub fn new(handle: &Handle, file: resource::File, access: DirectoryAccess, name: impl Into<String>) -> File {
        let flags = match access {
            DirectoryAccess::ReadOnly => OpenFlags::READ,
            DirectoryAccess::ReadWrite => OpenFlags::READ | OpenFlags::WRITE,
        };
        File { handle: handle.clone(), file, flags, name: name.into(), place: Mutex::new(None) }
    }

    fn check(&self, flag: OpenFlags, what: &str) -> Result {
        if self.flags.contains(flag) {
            return Ok(());
        }
        let message = format!("it is not open for {what}");
        Err(Error::new(Code::PermissionDenied, message).about(self.name.clone()))
    }

    /// Reads until the buffer is full or the file ends.
    async fn read_at(&self, offset: u64, buffer: &Buffer) -> Result<usize> {
        self.check(OpenFlags::READ, "reading")?;
        if buffer.access() == Access::ReadOnly {
            return Err(Error::new(Code::PermissionDenied, "the buffer is read-only"));
        }
        let (length, mut done) = (buffer.len(), 0);
        // Once at least: a file that is closed says so, of no bytes too.
        loop {
            let bytes = vec![0; (length - done).min(CHUNK)];
            let at = offset.checked_add(done as u64).ok_or_else(|| Error::invalid(format!("offset {offset}")))?;
            let (read, outcome) = self.handle.future(Read::some(self.file.clone(), at, bytes)).await;
            let count = told(outcome.result, &self.name)?;
            buffer.write(done, &read.buffer[..count])?;
            done += count;
            if count == 0 || done == length {
                return Ok(done);
            }
        }
    }

    /// Writes all of the buffer.
    async fn write_at(&self, offset: u64, buffer: &Buffer) -> Result<usize> {
        self.check(OpenFlags::WRITE, "writing")?;
        let (length, mut done) = (buffer.len(), 0);
        loop {
            let mut bytes = vec![0; (length - done).min(CHUNK)];
            buffer.read(done, &mut bytes)?;
            let at = offset.checked_add(done as u64).ok_or_else(|| Error::invalid(format!("offset {offset}")))?;
            let outcome = self.handle.future(Write::exact(self.file.clone(), at, bytes)).await.1;
            let count = told(outcome.result, &self.name)?;
            done += count;
            if done == length {
                return Ok(done);
            }
        }
    }
}

pub(super) struct State {
    handle: Handle,
    directories: Vec<Directory>,
    quota: Arc<Quota>,
    places: Places,
}

async fn open(state: &State, path: &Buffer, flags: i32) -> Result<Arc<File>> {
    let name = text(path, "a path")?;
    let opened = open_named(state, &name, flags).await;
    opened.map_err(|error| error.about(name))
}

async fn open_named(state: &State, name: &str, flags: i32) -> Result<Arc<File>> {
    let flags = OpenFlags::from_bits(flags as u32).filter(|flags| FLAGS.contains(*flags)).ok_or_else(|| {
        Error::invalid(format!("flags {flags}: 1 (read), 2 (write), 4 (create), 8 (new), 16 (truncate) are known"))
    })?;
    let names = Names::parse(name)?;
    let directory = state.directories.iter().find(|directory| directory.name == names.directory);
    let Some(directory) = directory else {
        let message = format!("no directory {:?} is granted", names.directory);
        return Err(Error::new(Code::PermissionDenied, message));
    };
    if directory.access == DirectoryAccess::ReadOnly && flags != OpenFlags::READ {
        return Err(Error::new(Code::PermissionDenied, "the directory is granted for reading alone"));
    }
    let place = state.places.take()?;
    let file = names.open(&state.handle, &directory.file, flags).await?;
    // A device or a directory has other rules than this module's.
    let status = state.handle.future(Stat::new(file.clone())).await.1.result?;
    if status.kind != FileKind::File {
        return Err(Error::new(Code::PermissionDenied, format!("it is no regular file: {:?}", status.kind)));
    }
    let (handle, place) = (state.handle.clone(), Mutex::new(Some(place)));
    state.quota.make(OPEN_BYTES + name.len(), || Ok(File { handle, file, flags, name: name.to_owned(), place }))
}

pub(super) fn module(
    handle: &Handle,
    directories: Vec<Directory>,
    quota: &Arc<Quota>,
    places: &Places,
) -> Result<Arc<NativeModule<Arc<State>>>> {
    let state = Arc::new(State { handle: handle.clone(), directories, quota: quota.clone(), places: places.clone() });
    NativeModule::with_state("file", move || Ok(state.clone()))
        .fork(|state| Ok(state.clone()))
        .async_function("open", |caller: Caller<Arc<State>>, path: Arc<Buffer>, flags: i32| async move {
            open(&caller, &path, flags).await
        })
        .async_function(
            "read_at",
            |_: Caller<Arc<State>>, file: Arc<File>, offset: i64, buffer: Arc<Buffer>| async move {
                file.read_at(wide(offset, "offset")?, &buffer).await.map(|count| count as i64)
            },
        )
        .async_function(
            "write_at",
            |_: Caller<Arc<State>>, file: Arc<File>, offset: i64, buffer: Arc<Buffer>| async move {
                file.write_at(wide(offset, "offset")?, &buffer).await.map(|count| count as i64)
            },
        )
        .async_function("size", |_: Caller<Arc<State>>, file: Arc<File>| async move {
            let outcome = file.handle.future(Stat::new(file.file.clone())).await.1;
            told(outcome.result, &file.name).map(|metadata| signed(metadata.size))
        })
        .async_function("sync", |_: Caller<Arc<State>>, file: Arc<File>, data_only: bool| async move {
            let sync = if data_only { Sync::data(file.file.clone()) } else { Sync::all(file.file.clone()) };
            told(file.handle.future(sync).await.1.result, &file.name)
        })
        .async_function("close", |_: Caller<Arc<State>>, file: Arc<File>| async move {
            told(close(&file.handle, Close::new(file.file.clone()), &file.place).await, &file.name)
        })
        .build()
}
