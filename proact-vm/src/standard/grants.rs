//! What of the world a host grants.

use std::path::PathBuf;
use std::sync::Arc;

use proact::proactor::Handle;
use proact::resource::{self, Address};
use proact::status::{Code, Operation, Status};

use super::AddressRule;
use super::address::canonical;
use crate::error::{Error, Result};

/// What programs may do with the files of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirectoryAccess {
    /// Read them.
    ReadOnly,
    /// Read, make, and change them.
    ReadWrite,
}

/// The directories and addresses that programs may use. Nothing unless it is told.
///
/// ```
/// use proact_vm::standard::{DirectoryAccess, Grants};
///
/// let grants = Grants::new()
///     .directory("data", "/srv/data", DirectoryAccess::ReadOnly)
///     .connect("10.0.0.0/8:443".parse()?)
///     .listen("127.0.0.1:8080".parse()?);
/// # let _ = grants;
/// # Ok::<(), proact_vm::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Grants {
    directories: Vec<Granted>,
    addresses: Addresses,
}

#[derive(Clone, Debug)]
struct Granted {
    name: String,
    place: Place,
    access: DirectoryAccess,
}

#[derive(Clone, Debug)]
enum Place {
    Path(PathBuf),
    Open(resource::File),
}

/// Granted addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    connect: Vec<AddressRule>,
    listen: Vec<AddressRule>,
}

/// A granted directory, open.
#[derive(Clone)]
pub(super) struct Directory {
    pub(super) name: String,
    pub(super) file: resource::File,
    pub(super) access: DirectoryAccess,
}

impl Grants {
    /// Nothing.
    pub fn new() -> Grants {
        Grants::default()
    }

    /// The files in a directory and those below it, which programs call `NAME/PATH`. It is opened when the modules are
    /// made. Of two of the same name the first counts.
    #[must_use]
    pub fn directory(self, name: impl Into<String>, path: impl Into<PathBuf>, access: DirectoryAccess) -> Grants {
        self.with(name.into(), Place::Path(path.into()), access)
    }

    /// As [`Grants::directory`], of one that the proactor has open already: a simulated one, too.
    #[must_use]
    pub fn open_directory(self, name: impl Into<String>, file: resource::File, access: DirectoryAccess) -> Grants {
        self.with(name.into(), Place::Open(file), access)
    }

    /// Addresses that programs may connect to.
    #[must_use]
    pub fn connect(mut self, rule: AddressRule) -> Grants {
        self.addresses.connect.push(rule);
        self
    }

    /// Addresses that programs may listen on.
    #[must_use]
    pub fn listen(mut self, rule: AddressRule) -> Grants {
        self.addresses.listen.push(rule);
        self
    }

    fn with(mut self, name: String, place: Place, access: DirectoryAccess) -> Grants {
        self.directories.push(Granted { name, place, access });
        self
    }

    pub(super) fn has_directories(&self) -> bool {
        !self.directories.is_empty()
    }

    pub(super) fn has_addresses(&self) -> bool {
        !self.addresses.connect.is_empty() || !self.addresses.listen.is_empty()
    }

    pub(super) fn addresses(&self) -> Arc<Addresses> {
        Arc::new(self.addresses.clone())
    }

    pub(super) fn open_directories(&self, handle: &Handle) -> Result<Vec<Directory>> {
        let open = |granted: &Granted| {
            super::path::check_name(&granted.name)?;
            let file = match &granted.place {
                Place::Open(file) => file.clone(),
                Place::Path(path) => open_path(handle, path)
                    .map_err(|error| error.about(format!("directory {:?} at {}", granted.name, path.display())))?,
            };
            Ok(Directory { name: granted.name.clone(), file, access: granted.access })
        };
        self.directories.iter().map(open).collect()
    }
}

#[cfg(unix)]
fn open_path(handle: &Handle, path: &std::path::Path) -> Result<resource::File> {
    let failed = |error: &std::io::Error| Error::from(Status::from_io_error(Operation::FileOpen, error));
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    if !file.metadata().map_err(|error| failed(&error))?.is_dir() {
        return Err(Error::new(Code::FailedPrecondition, "it is no directory"));
    }
    handle.import_file(file.into()).map_err(|returned| Error::from(returned.status))
}

#[cfg(not(unix))]
fn open_path(_: &Handle, _: &std::path::Path) -> Result<resource::File> {
    let message = "directories are granted by their open files on this system";
    Err(Error::from(Status::new(Code::Unavailable, Operation::FileOpen).with_message(message)))
}

impl Addresses {
    /// The address to connect to for one that a program has named.
    pub(super) fn may_connect(&self, address: &Address) -> Result<Address> {
        let address = granted(&self.connect, address, "to connect to")?;
        match &address {
            // Systems take it for one of their own addresses, which the rule did not name.
            Address::Ip(ip) if ip.ip().is_unspecified() => {
                Err(Error::invalid(format!("{address} is no one's address")))
            }
            _ => Ok(address),
        }
    }

    pub(super) fn may_listen(&self, address: &Address) -> Result<Address> {
        granted(&self.listen, address, "to listen on")
    }
}

fn granted(rules: &[AddressRule], address: &Address, what: &str) -> Result<Address> {
    let address = canonical(address);
    if rules.iter().any(|rule| rule.grants(&address)) {
        return Ok(address);
    }
    Err(Error::new(Code::PermissionDenied, format!("{address} is not granted {what}")))
}
