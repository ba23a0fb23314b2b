//! Names that travel: relative paths that can only ever lead below the directory they are joined to.
//!
//! A name comes from a peer that may be hostile. A [`RelativeName`] exists only if it has passed every check, so code
//! that holds one need not check again. What it cannot know is what already lies in the destination: a symbolic link
//! that its owner left there still leads where it leads. Whoever opens or makes the path decides whether to follow it.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// The longest whole name in bytes: Linux's `PATH_MAX` with its terminating zero would be one more than this leaves.
pub const NAME_MAX: usize = 4095;
/// The longest component in bytes: what the file systems in use allow.
pub const COMPONENT_MAX: usize = 255;

/// A relative path of one or more components, in the bytes that the sender's file system had.
///
/// Components are separated by `/` on every system. On Unix the bytes need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelativeName(Box<[u8]>);

/// Why a name is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NameError {
    /// Nothing at all.
    Empty,
    /// It begins with a separator, a drive or a share.
    Absolute,
    /// A component is `..`.
    Parent,
    /// A component is `.`.
    Current,
    /// A component is empty: two separators, or one at the end.
    EmptyComponent,
    /// It contains a zero byte.
    Nul,
    /// A component is longer than [`COMPONENT_MAX`].
    ComponentTooLong,
    /// The whole is longer than [`NAME_MAX`].
    TooLong,
    /// Backslashes in it would lead elsewhere on systems where they separate.
    Backslash,
    /// A character or name that this system reserves, or bytes that its names cannot hold.
    Reserved,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::Empty => "the name is empty",
            NameError::Absolute => "the name is absolute",
            NameError::Parent => "the name contains \"..\"",
            NameError::Current => "the name contains \".\"",
            NameError::EmptyComponent => "the name has an empty component",
            NameError::Nul => "the name contains a zero byte",
            NameError::ComponentTooLong => "a component of the name is longer than 255 bytes",
            NameError::TooLong => "the name is longer than 4095 bytes",
            NameError::Backslash => "the name hides a path behind backslashes",
            NameError::Reserved => "the name cannot exist on this system",
        })
    }
}

impl std::error::Error for NameError {}

/// Whose rules hold. Both are built everywhere, so that both are tested everywhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    Unix,
    Windows,
}

const NATIVE: Rules = if cfg!(windows) { Rules::Windows } else { Rules::Unix };

impl RelativeName {
    /// The name that `bytes` spell.
    ///
    /// # Errors
    /// The first rule that it breaks. Backslashes and colons are ordinary bytes of a Unix name and kept there, unless
    /// together they spell a way out on Windows (`..\x`, `C:\x`, `\\host\share`): no honest name looks like that.
    pub fn new(bytes: &[u8]) -> Result<RelativeName, NameError> {
        check(bytes, NATIVE)?;
        Ok(RelativeName(bytes.into()))
    }

    /// The name of a local `path`, which is relative to the root of its source. `.` components are dropped.
    ///
    /// # Errors
    /// The first rule that it breaks; a path with `..`, a root or a drive is refused.
    pub fn from_local(path: &Path) -> Result<RelativeName, NameError> {
        let mut bytes = Vec::new();
        for component in path.components() {
            let part = match component {
                Component::Normal(part) => part,
                Component::CurDir => continue,
                Component::ParentDir => return Err(NameError::Parent),
                Component::RootDir | Component::Prefix(_) => return Err(NameError::Absolute),
            };
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(os_bytes(part)?);
        }
        RelativeName::new(&bytes)
    }

    /// The name's bytes, components separated by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its components, at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/')
    }

    /// The name of `component` below this one.
    ///
    /// # Errors
    /// The first rule that the longer name breaks.
    pub fn child(&self, component: &std::ffi::OsStr) -> Result<RelativeName, NameError> {
        let component = os_bytes(component)?;
        if component.contains(&b'/') {
            return Err(NameError::Reserved);
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + component.len());
        bytes.extend_from_slice(&self.0);
        bytes.push(b'/');
        bytes.extend_from_slice(component);
        RelativeName::new(&bytes)
    }

    /// The local path of this name below `root`. It never leads above `root` by its own components.
    pub fn under(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        for component in self.components() {
            path.push(os_name(component));
        }
        path
    }

    /// Where a file is collected until it is whole: a hidden name beside [`RelativeName::under`]'s, so that the final
    /// rename stays on one file system. `tag` must be the receiver's own secret: a peer that knew it could send a file
    /// of that very name.
    pub fn partial_under(&self, root: &Path, tag: u64) -> PathBuf {
        let mut path = self.under(root);
        path.set_file_name(format!(".proact-{tag:016x}.part"));
        path
    }
}

/// For people: bytes that are not UTF-8 are shown as replacement characters, and characters that could steer a terminal
/// or turn the reading direction are escaped.
impl fmt::Display for RelativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_harmless(f, &String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for RelativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Writes `text`, which a peer chose, without what could steer a terminal.
pub fn write_harmless(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    for c in text.chars() {
        let turns_direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns_direction {
            write!(out, "{}", c.escape_default())?;
        } else {
            out.write_char(c)?;
        }
    }
    Ok(())
}

fn check(bytes: &[u8], rules: Rules) -> Result<(), NameError> {
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    if bytes.len() > NAME_MAX {
        return Err(NameError::TooLong);
    }
    if bytes[0] == b'/' {
        return Err(NameError::Absolute);
    }
    if bytes.contains(&0) {
        return Err(NameError::Nul);
    }
    for component in bytes.split(|&byte| byte == b'/') {
        check_component(component, rules)?;
    }
    Ok(())
}

fn check_component(component: &[u8], rules: Rules) -> Result<(), NameError> {
    match component {
        b"" => return Err(NameError::EmptyComponent),
        b"." => return Err(NameError::Current),
        b".." => return Err(NameError::Parent),
        _ if component.len() > COMPONENT_MAX => return Err(NameError::ComponentTooLong),
        _ => {}
    }
    if component.contains(&b'\\') {
        let drive = component.len() > 2 && component[0].is_ascii_alphabetic() && component[1..].starts_with(b":\\");
        if drive || component[0] == b'\\' {
            return Err(NameError::Absolute);
        }
        if component.split(|&byte| byte == b'\\').any(|part| part == b"..") {
            return Err(NameError::Backslash);
        }
    }
    match rules {
        Rules::Unix => Ok(()),
        Rules::Windows => check_windows_component(component),
    }
}

/// What Windows gives a meaning of its own, or silently changes (it drops dots and spaces at the end, so two different
/// names would meet in one file).
fn check_windows_component(component: &[u8]) -> Result<(), NameError> {
    let forbidden = |&byte: &u8| byte < 0x20 || b"\\:*?\"<>|".contains(&byte);
    let trimmed = !matches!(component.last(), Some(b'.' | b' '));
    if std::str::from_utf8(component).is_err() || component.iter().any(forbidden) || !trimmed {
        return Err(NameError::Reserved);
    }
    let stem = component.split(|&byte| byte == b'.').next().unwrap_or_default().trim_ascii_end().to_ascii_lowercase();
    let numbered =
        stem.len() == 4 && (stem.starts_with(b"com") || stem.starts_with(b"lpt")) && stem[3].is_ascii_digit();
    if numbered || matches!(stem.as_slice(), b"con" | b"prn" | b"aux" | b"nul" | b"conin$" | b"conout$") {
        return Err(NameError::Reserved);
    }
    Ok(())
}

#[cfg(unix)]
fn os_bytes(name: &std::ffi::OsStr) -> Result<&[u8], NameError> {
    Ok(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

#[cfg(not(unix))]
fn os_bytes(name: &std::ffi::OsStr) -> Result<&[u8], NameError> {
    name.to_str().map(str::as_bytes).ok_or(NameError::Reserved)
}

#[cfg(unix)]
fn os_name(component: &[u8]) -> std::borrow::Cow<'_, std::ffi::OsStr> {
    std::borrow::Cow::Borrowed(std::os::unix::ffi::OsStrExt::from_bytes(component))
}

#[cfg(not(unix))]
fn os_name(component: &[u8]) -> std::borrow::Cow<'_, std::ffi::OsStr> {
    // The Windows rules admit UTF-8 alone; elsewhere a replacement character is still a name below the root.
    std::borrow::Cow::Owned(String::from_utf8_lossy(component).into_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &[u8]) -> NameError {
        RelativeName::new(name).expect_err(&String::from_utf8_lossy(name))
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for (name, error) in [
            (&b""[..], NameError::Empty),
            (b"/", NameError::Absolute),
            (b"/etc/passwd", NameError::Absolute),
            (b"//host/share", NameError::Absolute),
            (b"..", NameError::Parent),
            (b"../x", NameError::Parent),
            (b"a/../b", NameError::Parent),
            (b"a/b/..", NameError::Parent),
            (b".", NameError::Current),
            (b"./a", NameError::Current),
            (b"a/./b", NameError::Current),
            (b"a//b", NameError::EmptyComponent),
            (b"a/", NameError::EmptyComponent),
            (b"a\0b", NameError::Nul),
            (b"\0", NameError::Nul),
            (b"C:\\Windows", NameError::Absolute),
            (b"a/c:\\x", NameError::Absolute),
            (b"\\\\host\\share", NameError::Absolute),
            (b"\\x", NameError::Absolute),
            (b"..\\x", NameError::Backslash),
            (b"a\\..\\..\\x", NameError::Backslash),
        ] {
            assert_eq!(refused(name), error, "{:?}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn lengths_are_bounded_at_their_exact_limits() {
        assert!(RelativeName::new(&[b'a'; COMPONENT_MAX]).is_ok());
        assert_eq!(refused(&[b'a'; COMPONENT_MAX + 1]), NameError::ComponentTooLong);
        let mut longest = b"abcdefg/".repeat(NAME_MAX.div_ceil(8));
        longest.truncate(NAME_MAX);
        assert!(RelativeName::new(&longest).is_ok());
        longest.push(b'x');
        assert_eq!(refused(&longest), NameError::TooLong);
    }

    #[test]
    fn ordinary_names_keep_their_bytes() {
        for name in
            [&b"a"[..], b"a/b/c.txt", b"...", b"..a", b"a..", b".hidden", b"a b", b"x-\xff\xfe/y", b"dev\\x2d1", b"a:b"]
        {
            if cfg!(windows) && RelativeName::new(name).is_err() {
                continue;
            }
            assert_eq!(RelativeName::new(name).unwrap().as_bytes(), name);
        }
    }

    #[test]
    fn windows_refuses_what_it_reserves() {
        for name in [
            &b"a\\b"[..],
            b"a:b",
            b"nul",
            b"NUL.txt",
            b"x/Com1",
            b"lpt9.log",
            b"aux .c",
            b"a.",
            b"a ",
            b"a?",
            b"a\x1b",
            b"\xff",
        ] {
            assert_eq!(check(name, Rules::Windows), Err(NameError::Reserved), "{:?}", String::from_utf8_lossy(name));
        }
        for name in [&b"com10"[..], b"console", b"a.b", b"null"] {
            assert_eq!(check(name, Rules::Windows), Ok(()));
        }
    }

    #[test]
    fn a_joined_name_stays_below_its_root() {
        let root = Path::new("/srv/in");
        let name = RelativeName::new(b"dir/file").unwrap();
        assert_eq!(name.under(root), Path::new("/srv/in/dir/file"));
        assert_eq!(name.partial_under(root, 0xab), Path::new("/srv/in/dir/.proact-00000000000000ab.part"));
        assert_eq!(name.components().collect::<Vec<_>>(), [&b"dir"[..], b"file"]);
    }

    #[test]
    fn local_paths_become_names_and_back() {
        assert_eq!(RelativeName::from_local(Path::new("./a/./b/")).unwrap().as_bytes(), b"a/b");
        assert_eq!(RelativeName::from_local(Path::new("a/../b")), Err(NameError::Parent));
        assert_eq!(RelativeName::from_local(Path::new("/a")), Err(NameError::Absolute));
        assert_eq!(RelativeName::from_local(Path::new(".")), Err(NameError::Empty));
        let name = RelativeName::new(b"a").unwrap();
        assert_eq!(name.child("b".as_ref()).unwrap().as_bytes(), b"a/b");
        assert_eq!(name.child("..".as_ref()), Err(NameError::Parent));
        assert_eq!(name.child("b/c".as_ref()), Err(NameError::Reserved));
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_survive_the_way_through_a_local_path() {
        let name = RelativeName::new(b"d/\xff\x80").unwrap();
        assert_eq!(RelativeName::from_local(&name.under(Path::new(""))).unwrap(), name);
    }

    #[test]
    fn shown_names_cannot_steer_a_terminal() {
        if cfg!(unix) {
            let name = RelativeName::new("a\u{1b}[31m\n\u{202e}é".as_bytes()).unwrap();
            assert_eq!(name.to_string(), "a\\u{1b}[31m\\n\\u{202e}é");
            assert_eq!(RelativeName::new(b"\xff").unwrap().to_string(), "\u{fffd}");
        }
    }
}
