//! The text that says what a program's functions take and give beyond plain numbers.
//!
//! It stands in the custom section `proact.conventions` of the module, or in a file beside it, and is read by lines, so
//! that what a linker has put together of several sections is still a text:
//!
//! ```text
//! # Everything behind a hash is a comment.
//! version 3                                     the module's own, 0 without the line
//! requires file 2                               the module that imports come from, and the oldest that will do
//! import file.read_at(ref, i64, out) -> i64?
//! optional import log.write(i32, in)
//! export copy(ref, ref) -> i64
//! ```
//!
//! | kind | in WebAssembly | for the other side |
//! |---|---|---|
//! | `i32`, `i64`, `f32`, `f64` | the same | the same |
//! | `ref` | an `i32`: a handle, 0 for null | a reference |
//! | `in` | two `i32`: address and length in the program's memory | a reference to a buffer that holds these bytes |
//! | `out` | the same | a reference to a buffer of zeros, copied there when the function has returned |
//! | `inout` | the same | both |
//! | a result with `?`, or `?` alone | as without; an `i32` where there is no other | the result; a failure is a code |
//!
//! `in`, `out` and `inout` are for arguments of imports, `?` is for their results: the program is told of a failure by
//! its code, negated, where the function would end it otherwise. A function without a line takes and gives the numbers
//! of its WebAssembly type.

use std::collections::HashMap;
use std::fmt;

use crate::error::{Error, Result};

/// The name of the custom section.
pub const SECTION: &str = "proact.conventions";

/// Longest text, in bytes.
pub const TEXT_MAX: usize = 1 << 20;
/// Longest name of a module or function, in bytes.
pub const NAME_MAX: usize = 512;
/// Most arguments, and most results, of a function.
pub const KINDS_MAX: usize = 32;

/// What an argument or result is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
    /// A single-precision number.
    F32,
    /// A double-precision number.
    F64,
    /// A handle of a reference.
    Ref,
    /// Bytes of the program's memory, lent for reading.
    In,
    /// Bytes of the program's memory, to be written.
    Out,
    /// Bytes of the program's memory, to be read and written.
    InOut,
}

impl Kind {
    const ALL: [Kind; 8] = [Kind::I32, Kind::I64, Kind::F32, Kind::F64, Kind::Ref, Kind::In, Kind::Out, Kind::InOut];

    /// As the text spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::I32 => "i32",
            Kind::I64 => "i64",
            Kind::F32 => "f32",
            Kind::F64 => "f64",
            Kind::Ref => "ref",
            Kind::In => "in",
            Kind::Out => "out",
            Kind::InOut => "inout",
        }
    }

    /// Its letter in a calling convention.
    pub const fn letter(self) -> char {
        match self {
            Kind::I32 => 'i',
            Kind::I64 => 'I',
            Kind::F32 => 'f',
            Kind::F64 => 'F',
            Kind::Ref | Kind::In | Kind::Out | Kind::InOut => 'r',
        }
    }

    /// Whether it is bytes of the program's memory.
    pub const fn is_bytes(self) -> bool {
        matches!(self, Kind::In | Kind::Out | Kind::InOut)
    }
}

/// What a function takes and gives.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signature {
    /// Its arguments.
    pub arguments: Vec<Kind>,
    /// Its results.
    pub results: Vec<Kind>,
    /// Whether a failure is told to the program, instead of ending it.
    pub fallible: bool,
}

impl Signature {
    /// The calling convention that the other side sees: `0rI_I`.
    pub fn convention(&self) -> String {
        let mut text = String::from("0");
        text.extend(self.arguments.iter().map(|kind| kind.letter()));
        if !self.results.is_empty() {
            text.push('_');
            text.extend(self.results.iter().map(|kind| kind.letter()));
        }
        text
    }
}

/// As a line of the text has it, behind the name.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |kinds: &[Kind]| kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        write!(f, "({})", list(&self.arguments))?;
        if self.fallible || !self.results.is_empty() {
            write!(f, " -> {}", list(&self.results))?;
        }
        f.write_str(if self.fallible { "?" } else { "" })
    }
}

/// An import: whose, and which of its functions.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ImportName {
    /// The module.
    pub module: String,
    /// The function.
    pub function: String,
}

impl fmt::Display for ImportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.function)
    }
}

/// What the text says of an import.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    /// What it takes and gives.
    pub signature: Signature,
    /// Whether the program does without it.
    pub optional: bool,
}

/// What the whole text says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conventions {
    /// The module's version.
    pub version: u32,
    /// The oldest version of each module that will do.
    pub requires: HashMap<String, u32>,
    /// Imports.
    pub imports: HashMap<ImportName, Imported>,
    /// Exports, by name.
    pub exports: HashMap<String, Signature>,
}

impl Conventions {
    /// Reads a text.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the number of the line, for one that is none of the five forms, or that says another
    /// thing of what an earlier line spoke of; a text longer than [`TEXT_MAX`].
    pub fn parse(text: &str) -> Result<Conventions> {
        if text.len() > TEXT_MAX {
            return Err(Error::invalid(format!("conventions: {} bytes are more than {TEXT_MAX}", text.len())));
        }
        let mut conventions = Conventions::default();
        let mut version = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let read = conventions.line(line, &mut version);
                read.map_err(|why| Error::invalid(format!("conventions, line {}: {why}", index + 1)))?;
            }
        }
        conventions.version = version.unwrap_or_default();
        Ok(conventions)
    }

    /// As [`Conventions::parse`], of the bytes of a section or file.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Conventions> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Conventions::parse(text),
            Err(error) => Err(Error::invalid(format!("conventions: not UTF-8 at byte {}", error.valid_up_to()))),
        }
    }

    fn line(&mut self, line: &str, version: &mut Option<u32>) -> Result<(), String> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "version" => once(version.replace(number(rest)?), version, || String::from("the version")),
            "requires" => {
                let (module, oldest) = rest.split_once(char::is_whitespace).ok_or("a module and a version")?;
                let (module, oldest) = (name(module)?, number(oldest.trim())?);
                let before = self.requires.insert(module.into(), oldest);
                once(before, &Some(oldest), || format!("module {module}"))
            }
            "import" => self.import(rest, false),
            "optional" => match rest.split_once(char::is_whitespace) {
                Some(("import", rest)) => self.import(rest.trim(), true),
                _ => Err(String::from("\"optional\" stands before \"import\"")),
            },
            "export" => {
                let (named, signature) = function(rest)?;
                if let Some(kind) = signature.arguments.iter().chain(&signature.results).find(|kind| kind.is_bytes()) {
                    return Err(format!("{}: only imports are lent memory", kind.name()));
                }
                if signature.fallible {
                    return Err(String::from("\"?\" is for imports"));
                }
                let before = self.exports.insert(named.into(), signature);
                once(before, &self.exports.get(named).cloned(), || format!("export {named}"))
            }
            _ => Err(format!("{word:?} is none of version, requires, import, optional import, export")),
        }
    }

    fn import(&mut self, text: &str, optional: bool) -> Result<(), String> {
        let (named, signature) = function(text)?;
        let (module, function) = named.split_once('.').ok_or_else(|| format!("{named:?} is no MODULE.FUNCTION"))?;
        if let Some(kind) = signature.results.iter().find(|kind| kind.is_bytes()) {
            return Err(format!("{}: no function gives memory", kind.name()));
        }
        if signature.fallible && !matches!(signature.results[..], [] | [Kind::I32 | Kind::I64 | Kind::Ref]) {
            return Err(String::from("\"?\" needs a single i32, i64 or ref, or nothing, before it"));
        }
        let import = ImportName { module: name(module)?.into(), function: name(function)?.into() };
        let imported = Imported { signature, optional };
        let before = self.imports.insert(import, imported.clone());
        once(before, &Some(imported), || format!("import {named}"))
    }
}

/// A second line about the same thing may only say the same.
fn once<T: PartialEq>(before: Option<T>, now: &Option<T>, what: impl FnOnce() -> String) -> Result<(), String> {
    if before.is_some() && before != *now { Err(format!("{} was said to be otherwise above", what())) } else { Ok(()) }
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse() {
        // `parse` would take a sign.
        Ok(number) if text.starts_with(|first: char| first.is_ascii_digit()) => Ok(number),
        _ => Err(format!("{text:?} is no version: 0 to {}", u32::MAX)),
    }
}

fn name(text: &str) -> Result<&str, String> {
    if text.is_empty() || text.len() > NAME_MAX || text.contains(|c: char| c.is_whitespace() || "(),#".contains(c)) {
        return Err(format!("{:?} is no name", text.chars().take(40).collect::<String>()));
    }
    Ok(text)
}

/// `NAME(KIND, ...)` or `NAME(KIND, ...) -> KIND, ...`.
fn function(text: &str) -> Result<(&str, Signature), String> {
    let expected = "NAME(KIND, ...) -> KIND, ... is expected";
    let (named, rest) = text.split_once('(').ok_or(expected)?;
    let (arguments, rest) = rest.split_once(')').ok_or(expected)?;
    let rest = rest.trim();
    let results = match rest.strip_prefix("->") {
        Some(results) => results.trim(),
        None if rest.is_empty() => "",
        None => return Err(expected.into()),
    };
    let (results, fallible) = match results.strip_suffix('?') {
        Some(results) => (results.trim(), true),
        None if results.is_empty() && !rest.is_empty() => return Err(expected.into()),
        None => (results, false),
    };
    let signature = Signature { arguments: kinds(arguments)?, results: kinds(results)?, fallible };
    Ok((name(named.trim())?, signature))
}

fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut kinds = Vec::new();
    for word in text.split(',') {
        let word = word.trim();
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == word);
        kinds.push(kind.ok_or_else(|| {
            if word.starts_with("span") {
                return String::from("spans are not offered to programs: bytes are lent, and lists are references");
            }
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("{:?} is none of {}", word.chars().take(40).collect::<String>(), known.join(", "))
        })?);
        if kinds.len() > KINDS_MAX {
            return Err(format!("more than {KINDS_MAX} arguments or results"));
        }
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = Conventions::parse(text).expect_err(text);
        assert_eq!(error.code(), proact::status::Code::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn every_form_is_read() {
        let text = "# head\nversion 3\nrequires file 2\nimport file.read(ref, i64, out) -> i64?  # why\n\
                    optional import log.write(i32,in)\r\nexport copy( ref , ref )->i64\nimport timer.sleep(i64) -> ?\n\
                    export nothing()\nexport pair() -> f32, f64\n";
        let read = Conventions::parse(text).expect("a text");
        assert_eq!((read.version, read.requires["file"]), (3, 2));
        let import = |module: &str, function: &str| {
            &read.imports[&ImportName { module: module.into(), function: function.into() }]
        };
        let file = import("file", "read");
        assert_eq!(
            (file.signature.convention().as_str(), file.signature.fallible, file.optional),
            ("0rIr_I", true, false)
        );
        assert_eq!(file.signature.to_string(), "(ref, i64, out) -> i64?");
        let log = import("log", "write");
        assert_eq!((log.signature.convention().as_str(), log.optional), ("0ir", true));
        assert_eq!(import("timer", "sleep").signature.to_string(), "(i64) -> ?");
        assert_eq!(read.exports["copy"].convention(), "0rr_I");
        assert_eq!(read.exports["nothing"].to_string(), "()");
        assert_eq!(read.exports["pair"].to_string(), "() -> f32, f64");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, said) in [
            ("export f(i32", "line 1: NAME(KIND"),
            ("\n\nexport f(i31)", "line 3: \"i31\" is none of i32,"),
            ("export f(in)", "in: only imports are lent memory"),
            ("import m.f(span i32)", "line 1: spans are not offered to programs"),
            ("export f(ref, span)", "spans are not offered to programs"),
            ("export f() -> i32?", "\"?\" is for imports"),
            ("export (i32)", "\"\" is no name"),
            ("export f() i32", "NAME(KIND"),
            ("export f() ->", "NAME(KIND"),
            ("import f(i32)", "\"f\" is no MODULE.FUNCTION"),
            ("import m.f() -> out", "out: no function gives memory"),
            ("import m.f() -> f32?", "\"?\" needs a single"),
            ("import m.f() -> i32, i32?", "\"?\" needs a single"),
            ("optional export f()", "\"optional\" stands before"),
            ("version -1", "is no version"),
            ("version +1", "is no version"),
            ("version 4294967296", "is no version"),
            ("requires file", "a module and a version"),
            ("whatever", "is none of version"),
            ("export f(i32)\nexport f(i64)", "line 2: export f was said to be otherwise above"),
            ("version 1\nversion 2", "the version was said"),
            ("import m.f()\noptional import m.f()", "import m.f was said"),
        ] {
            let told = refused(text);
            assert!(told.contains(said), "{text:?}: {told}");
        }
        assert!(refused(&format!("export f({})", vec!["i32"; KINDS_MAX + 1].join(","))).contains("more than 32"));
        assert!(refused(&"#".repeat(TEXT_MAX + 1)).contains("are more than"));
        assert!(Conventions::parse_bytes(&[b'#', 0xff]).expect_err("not UTF-8").message().contains("at byte 1"));
    }

    #[test]
    fn the_same_line_twice_is_one() {
        let twice = "version 1\nimport m.f(ref)\nexport f()\nrequires m 1\n".repeat(2);
        let read = Conventions::parse(&twice).expect("nothing contradicts");
        assert_eq!((read.imports.len(), read.exports.len()), (1, 1));
    }

    #[test]
    fn a_signature_reads_back_as_it_is_written() {
        let mut random = oorandom::Rand32::new(0x5eed);
        for case in 0..2_000 {
            let mut kinds = |count: u32, from: &[Kind]| -> Vec<Kind> {
                (0..count).map(|_| from[random.rand_range(0..from.len() as u32) as usize]).collect()
            };
            let (arguments, results) = (kinds(case % 9, &Kind::ALL), kinds(case % 4, &Kind::ALL[..5]));
            let fallible = case % 3 == 0 && matches!(results[..], [] | [Kind::I32 | Kind::I64 | Kind::Ref]);
            let signature = Signature { arguments, results, fallible };
            let read = Conventions::parse(&format!("import a.b{signature}"));
            let read = read.unwrap_or_else(|error| panic!("case {case}: {signature}: {error}"));
            assert_eq!(read.imports.values().next().map(|import| &import.signature), Some(&signature), "case {case}");
        }
    }
}
