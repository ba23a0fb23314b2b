//! What is looked at in a module's bytes before the engine is given them: whether reading and compiling them stays
//! within bounds, the start function, and the conventions that come with them.

use std::borrow::Cow;

use proact::status::Code;
use wasmparser::{BinaryReaderError, ElementItems, ElementSectionReader, FunctionBody, Parser, Payload};

use super::conventions::{SECTION, TEXT_MAX};
use super::tail_calls::TailCalls;
use crate::error::{Error, Result};

/// Most arguments, and most results, of a function or block. Each costs the compiler time at every block that has the
/// type, which takes three bytes.
pub const TYPE_KINDS_MAX: usize = 32;
/// Most functions, imported ones too: the engine keeps some hundred bytes of each.
pub const FUNCTIONS_MAX: u32 = 100_000;
/// Most types and most globals: the engine keeps up to a hundred bytes of each.
pub const DECLARED_MAX: u32 = 100_000;
/// Most elements of all segments, which are a byte each in the module: the engine keeps two dozen bytes of each.
pub const ELEMENTS_MAX: u32 = 1_000_000;
/// Longest body of a function, in bytes: nested blocks cost the compiler some hundred bytes each.
pub const BODY_MAX: usize = 1 << 20;
/// Most locals of a function: they are set to zero at each call, for the same fuel however many they are.
pub const LOCALS_MAX: u32 = 8_192;
/// Locals of all functions, beyond one for every byte of code: few bytes declare thousands, each of which costs the
/// compiler time.
const LOCALS_SPARE: u64 = 65_536;
/// Most imports and most exports.
pub const NAMES_MAX: u32 = 10_000;

/// Under which name the start function is exported to us, in place of being the start function.
pub(super) const START: &str = "proact:start";

/// What was found.
pub(super) struct Survey<'a> {
    /// What the engine is to be given: the bytes without a start function, which is an export instead.
    pub module: Cow<'a, [u8]>,
    /// Whether there was a start function.
    pub starts: bool,
    /// The custom sections of conventions, one behind another.
    pub conventions: Vec<u8>,
    /// Of each imported function, in order, whether it may be called in the place of one of the program's.
    pub tail_called: Vec<bool>,
}

/// Looks through a module.
///
/// The engine runs a start function to its end before anyone can stop it: no time slice, no wait. As an export it is a
/// function as any other.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is no module; `RESOURCE_EXHAUSTED` for one beyond the bounds.
pub(super) fn survey(bytes: &[u8]) -> Result<Survey<'_>> {
    let mut counts = Counts::default();
    let mut tail_calls = TailCalls::default();
    let mut conventions = Vec::new();
    let (mut start, mut exports, mut sections) = (None, None, Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        if let Some((id, range)) = payload.as_section() {
            let contents = bytes.get(range).ok_or_else(|| Error::invalid("a section past the end of the module"))?;
            sections.push((id, contents));
        }
        match payload {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(Error::invalid("a component, where a core module is expected"));
            }
            Payload::TypeSection(types) => {
                bound("types", types.count(), DECLARED_MAX)?;
                for group in types.into_iter_err_on_gc_types() {
                    let group = group.map_err(malformed)?;
                    bound(
                        "arguments or results of a type",
                        group.params().len().max(group.results().len()),
                        TYPE_KINDS_MAX,
                    )?;
                }
            }
            Payload::ImportSection(imports) => {
                bound("imports", imports.count(), NAMES_MAX)?;
                counts.functions = counts.functions.saturating_add(imports.count());
                bound("functions", counts.functions, FUNCTIONS_MAX)?;
                tail_calls.imports(imports).map_err(malformed)?;
            }
            Payload::FunctionSection(functions) => {
                counts.functions = counts.functions.saturating_add(functions.count());
                bound("functions", counts.functions, FUNCTIONS_MAX)?;
            }
            Payload::ExportSection(section) => {
                bound("exports", section.count(), NAMES_MAX)?;
                exports = Some(section.count());
            }
            Payload::StartSection { func, .. } => start = Some(func),
            Payload::GlobalSection(globals) => {
                bound("globals", globals.count(), DECLARED_MAX)?;
                tail_calls.globals(globals).map_err(malformed)?;
            }
            Payload::ElementSection(segments) => {
                counts.elements(segments.clone())?;
                tail_calls.elements(segments).map_err(malformed)?;
            }
            Payload::CodeSectionEntry(body) => {
                counts.body(&body)?;
                tail_calls.body(&body).map_err(malformed)?;
            }
            Payload::CustomSection(section) if section.name() == SECTION => {
                bound("bytes of conventions", conventions.len() + section.data().len(), TEXT_MAX)?;
                conventions.extend_from_slice(section.data());
                conventions.push(b'\n');
            }
            _ => {}
        }
    }
    let module = match start {
        None => Cow::Borrowed(bytes),
        Some(function) => Cow::Owned(without_start(&sections, function, exports)),
    };
    Ok(Survey { module, starts: start.is_some(), conventions, tail_called: tail_calls.finish() })
}

#[derive(Default)]
struct Counts {
    functions: u32,
    elements: u32,
    locals: u64,
    code: u64,
}

impl Counts {
    fn elements(&mut self, segments: ElementSectionReader<'_>) -> Result {
        for segment in segments {
            let count = match segment.map_err(malformed)?.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            };
            self.elements = self.elements.saturating_add(count);
            bound("elements of all segments", self.elements, ELEMENTS_MAX)?;
        }
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result {
        bound("bytes of a function", body.range().len(), BODY_MAX)?;
        let mut locals = 0u32;
        for group in body.get_locals_reader().map_err(malformed)? {
            locals = locals.saturating_add(group.map_err(malformed)?.0);
        }
        bound("locals of a function", locals, LOCALS_MAX)?;
        self.locals += u64::from(locals);
        self.code += body.range().len() as u64;
        bound("locals of all functions", self.locals, self.code + LOCALS_SPARE)
    }
}

fn bound<N: PartialOrd + std::fmt::Display>(what: &str, found: N, most: N) -> Result {
    if found <= most {
        return Ok(());
    }
    Err(Error::new(Code::ResourceExhausted, format!("{found} {what} are more than {most}")))
}

#[cold]
fn malformed(error: BinaryReaderError) -> Error {
    Error::invalid(format!("not a WebAssembly module: {} at byte {}", error.message(), error.offset()))
}

const EXPORT_ID: u8 = 7;
const START_ID: u8 = 8;
const FUNCTION_KIND: u8 = 0;

/// The module of these sections with one more export, and without its start section. Where there are no exports yet,
/// the new section stands where the start section stood, which is where it belongs.
fn without_start(sections: &[(u8, &[u8])], function: u32, exports: Option<u32>) -> Vec<u8> {
    let mut export = Vec::new();
    unsigned(START.len() as u32, &mut export);
    export.extend_from_slice(START.as_bytes());
    export.push(FUNCTION_KIND);
    unsigned(function, &mut export);

    let mut module = b"\0asm\x01\0\0\0".to_vec();
    let mut section = |id: u8, contents: &[u8]| {
        module.push(id);
        unsigned(contents.len() as u32, &mut module);
        module.extend_from_slice(contents);
    };
    for &(id, contents) in sections {
        match (id, exports) {
            (EXPORT_ID, Some(count)) => {
                let mut more = Vec::with_capacity(contents.len() + export.len() + 5);
                unsigned(count + 1, &mut more);
                more.extend_from_slice(&contents[unsigned_len(contents)..]);
                more.extend_from_slice(&export);
                section(id, &more);
            }
            (START_ID, Some(_)) => {}
            (START_ID, None) => section(EXPORT_ID, &[&[1], &export[..]].concat()),
            _ => section(id, contents),
        }
    }
    module
}

/// LEB128, as the format writes numbers.
fn unsigned(mut number: u32, out: &mut Vec<u8>) {
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

/// Bytes of the number at the beginning of `bytes`, which was read before.
fn unsigned_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1
}
