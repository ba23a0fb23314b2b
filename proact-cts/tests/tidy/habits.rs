//! Habits of the house that no compiler enforces.

use crate::scan::{Token, tokens};
use crate::{File, expect_none, files, rust_sources};

/// Characters in a line.
const LINE_MAX: usize = 120;
/// Lines in a file of a crate's sources: beyond it, the file is two ideas.
const FILE_MAX: usize = 700;
/// How many lines above an `unsafe` its reason may begin.
const REASON_ABOVE_MAX: usize = 8;

/// Macros that stand for something not done, and the marks of it in comments. Split, so that this file has none.
const UNDONE_MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
const UNDONE_MARKS: [&str; 3] = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];

fn layout_faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let mut fault = |why: &str| faults.push(format!("{}:{}: {why}", file.path, index + 1));
        if line.chars().count() > LINE_MAX {
            fault("longer than 120 characters");
        }
        if line.contains('\t') {
            fault("a tab");
        }
        if line.ends_with(' ') {
            fault("a space at its end");
        }
    }
    if !file.text.ends_with('\n') {
        faults.push(format!("{}: no newline at its end", file.path));
    }
    faults
}

fn undone_faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for mark in UNDONE_MARKS.into_iter().filter(|mark| line.contains(mark)) {
            faults.push(format!("{}:{}: {mark}", file.path, index + 1));
        }
    }
    for pair in tokens(&file.text).windows(2) {
        if UNDONE_MACROS.contains(&pair[0].text.as_str()) && pair[1].text == "!" {
            faults.push(format!("{}:{}: {}!", file.path, pair[0].line, pair[0].text));
        }
    }
    faults
}

/// Every `unsafe` has its reason near: a block or an implementation above it or beside it, a function that others call
/// under `# Safety`, a private one there or at the head of its body. Functions of a trait's implementation are under
/// the trait's own contract.
fn unsafe_faults(file: &File) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let tokens = tokens(&file.text);
    let mut faults = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.text != "unsafe" {
            continue;
        }
        let line = token.line - 1;
        let above = &lines[line.saturating_sub(REASON_ABOVE_MAX)..=line];
        let has_reason = |lines: &[&str]| lines.iter().any(|line| line.contains("SAFETY"));
        let good = match Unsafe::of(&tokens[index..]) {
            Unsafe::Pointer => true,
            Unsafe::Function if token.scope.in_trait_impl => true,
            Unsafe::Function => {
                let is_public = lines[line].trim_start().starts_with("pub");
                let body = &lines[line..lines.len().min(line + 4)];
                documented(&lines[..line]) || (!is_public && has_reason(body))
            }
            Unsafe::Trait => documented(&lines[..line]),
            Unsafe::Other => has_reason(above),
        };
        if !good {
            faults.push(format!("{}:{}: unsafe without its reason", file.path, token.line));
        }
    }
    faults
}

/// What an `unsafe` stands before.
enum Unsafe {
    /// A function's declaration.
    Function,
    /// The type of a function: whoever makes one gives the reason.
    Pointer,
    Trait,
    /// A block, an implementation, an attribute, a block of foreign functions.
    Other,
}

impl Unsafe {
    fn of(tokens: &[Token]) -> Unsafe {
        let after: Vec<&str> = tokens[1..].iter().map(|token| token.text.as_str()).take(4).collect();
        match after[..] {
            ["fn", "(", ..] | ["extern", "\"", "fn", "("] => Unsafe::Pointer,
            ["fn", ..] | ["extern", "\"", "fn", ..] => Unsafe::Function,
            ["trait", ..] => Unsafe::Trait,
            _ => Unsafe::Other,
        }
    }
}

/// Whether the comments and attributes that end `lines` say what a caller must promise.
fn documented(lines: &[&str]) -> bool {
    let head = lines.iter().rev().map(|line| line.trim_start()).take_while(|line| line.starts_with(['/', '#']));
    head.into_iter().any(|line| line.contains("# Safety") || line.contains("SAFETY:"))
}

fn file(text: &str) -> File {
    File { path: "made-up.rs".into(), text: text.into() }
}

#[test]
fn lines_are_short_and_clean() {
    let texts = files(|path| path.ends_with(".rs") || path.ends_with(".sh") || path == ".ci/run");
    assert!(texts.iter().any(|file| file.path == ".ci/run"));
    expect_none(texts.iter().flat_map(layout_faults).collect());
    assert_eq!(layout_faults(&file(&format!("{}\n\tx\ny \nz", "ä".repeat(121)))).len(), 4);
    assert!(layout_faults(&file(&format!("{}\n", "ä".repeat(120)))).is_empty());
}

#[test]
fn nothing_is_left_to_do() {
    expect_none(rust_sources().iter().flat_map(undone_faults).collect());
    let marked = format!("// {}: later\nfn f() {{ {}!() }}\n", UNDONE_MARKS[0], UNDONE_MACROS[0]);
    assert_eq!(undone_faults(&file(&marked)).len(), 2);
    assert!(undone_faults(&file("let s = \"dbg!\"; // a todo! in words\n")).is_empty());
}

#[test]
fn a_file_is_one_idea() {
    let long = |file: &File| file.text.lines().count() > FILE_MAX;
    let sources = files(|path| path.ends_with(".rs") && path.contains("/src/"));
    expect_none(sources.iter().filter(|file| long(file)).map(|file| file.path.clone()).collect());
    assert!(long(&file(&"x\n".repeat(FILE_MAX + 1))));
}

#[test]
fn every_unsafe_has_its_reason_near() {
    let sources = rust_sources();
    assert!(sources.iter().any(|file| file.path.starts_with("proact/src/") && file.text.contains("unsafe")));
    expect_none(sources.iter().flat_map(unsafe_faults).collect());

    let count = |text: &str| unsafe_faults(&file(text)).len();
    assert_eq!(count("fn f() { unsafe { g() } }"), 1);
    assert_eq!(count("// SAFETY: g takes anything.\nunsafe { g() }"), 0);
    assert_eq!(count("unsafe impl Send for A {}"), 1);
    assert_eq!(count("/// Does.\n///\n/// # Safety\n///\n/// Never null.\n#[inline]\npub unsafe fn f() {}"), 0);
    assert_eq!(count("/// Does.\npub unsafe fn f() {\n    // SAFETY: no.\n    unsafe { g() }\n}"), 1);
    assert_eq!(count("unsafe fn f() {\n    // SAFETY: the caller's promise.\n    unsafe { g() }\n}"), 0);
    assert_eq!(count("pub unsafe trait T {}"), 1);
    assert_eq!(count("// SAFETY: as T asks.\nunsafe impl T for A {\n\n\n\n\n\n\n\n\n unsafe fn f() {}\n}"), 0);
    assert_eq!(count("struct V { f: unsafe fn(u8), g: unsafe extern \"C\" fn(u8) } // unsafe { }"), 0);
}
