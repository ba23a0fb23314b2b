//! `proact inspect`: what a program exports and imports.

use std::fmt::Write;

use proact_vm::module::Module;
use proact_vm::wasm::{Options, WasmModule};
use serde::Serialize;

use super::answer::{Outcome, json, say};
use super::run::open;
use crate::cli::Inspect;
use crate::exit::Failure;
use crate::shown;

/// The whole answer.
#[derive(Serialize)]
struct Answer {
    module: String,
    version: u32,
    /// Whether it has a start function.
    starts: bool,
    /// In pages of 64 KiB; `null` without a memory that is exported.
    memory: Option<Memory>,
    exports: Vec<Function>,
    imports: Vec<Function>,
    /// Exports that no one can call, and the type that is in the way.
    uncallable: Vec<Uncallable>,
    requires: Vec<Requirement>,
}

#[derive(Serialize)]
struct Memory {
    minimum: u64,
    maximum: Option<u64>,
}

#[derive(Serialize)]
struct Function {
    name: String,
    signature: String,
    /// As other modules see it.
    convention: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
}

#[derive(Serialize)]
struct Uncallable {
    name: String,
    r#type: String,
}

#[derive(Serialize)]
struct Requirement {
    module: String,
    version: u32,
    optional: bool,
}

/// Runs it.
///
/// # Errors
/// A module that is missing, unreadable or refused.
pub fn inspect(options: &Inspect) -> Result<(), Failure> {
    let module = open(&options.module, Options::default()).map_err(|uncalled| uncalled.told(options.json))?;
    let answer = examine(&module);
    say(&if options.json { json(&Outcome::ok(answer))? } else { text(&answer) });
    Ok(())
}

fn examine(module: &WasmModule) -> Answer {
    Answer {
        module: module.name().into(),
        version: module.version(),
        starts: module.starts(),
        memory: module.memory().map(|pages| Memory { minimum: pages.minimum, maximum: pages.maximum }),
        exports: module
            .signatures()
            .map(|(name, signature)| Function {
                name: name.into(),
                signature: signature.to_string(),
                convention: signature.convention(),
                optional: false,
            })
            .collect(),
        imports: module
            .imported()
            .map(|(name, imported)| Function {
                name: name.to_string(),
                signature: imported.signature.to_string(),
                convention: imported.signature.convention(),
                optional: imported.optional,
            })
            .collect(),
        uncallable: module
            .uncallable()
            .map(|(name, found)| Uncallable { name: name.into(), r#type: found.into() })
            .collect(),
        requires: module
            .dependencies()
            .iter()
            .map(|needed| Requirement {
                module: needed.module.clone(),
                version: needed.version,
                optional: needed.optional,
            })
            .collect(),
    }
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "module   {}, version {}", shown::line(&answer.module), answer.version);
    if let Some(memory) = &answer.memory {
        let most = memory.maximum.map_or_else(String::new, |maximum| format!(", at most {maximum}"));
        let pages = if memory.minimum == 1 { "page" } else { "pages" };
        let _ = writeln!(text, "memory   {} {pages} of 64 KiB{most}", memory.minimum);
    }
    if answer.starts {
        let _ = writeln!(text, "start    a function that runs before any other");
    }
    for needed in &answer.requires {
        let optional = if needed.optional { ", if it is there" } else { "" };
        let _ = writeln!(text, "needs    {}, version {}{optional}", shown::line(&needed.module), needed.version);
    }
    functions(&mut text, "exports", &answer.exports);
    functions(&mut text, "imports", &answer.imports);
    if !answer.uncallable.is_empty() {
        let _ = writeln!(text, "\nnot callable");
    }
    for Uncallable { name, r#type } in &answer.uncallable {
        let name = shown::line(name);
        let _ = writeln!(text, "  {name}: {type} in its type is neither a number nor a handle");
    }
    text
}

fn functions(text: &mut String, title: &str, functions: &[Function]) {
    if functions.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    let line = |function: &Function| format!("{}{}", shown::line(&function.name), function.signature);
    let width = functions.iter().map(|function| line(function).chars().count()).max().unwrap_or(0).min(60);
    for function in functions {
        let optional = if function.optional { "  optional" } else { "" };
        let _ = writeln!(text, "  {:<width$}  {}{optional}", line(function), function.convention);
    }
}
