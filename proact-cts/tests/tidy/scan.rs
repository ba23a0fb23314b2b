//! Rust source as tokens: enough to see paths, scopes and keywords, and to overlook comments and strings.

use std::rc::Rc;

/// A word, `::`, or one character of punctuation. Literals of text are `"`, those of a character `'`.
#[derive(Debug)]
pub struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
    pub scope: Rc<Scope>,
}

/// Where a token stands.
#[derive(Clone, Default, Debug)]
pub struct Scope {
    /// The modules that the file opens around it.
    pub modules: Vec<String>,
    /// Directly inside an `impl Trait for Type`.
    pub in_trait_impl: bool,
}

/// A path that begins with `crate`, `self` or `super`, each branch of a `use` for itself.
#[derive(PartialEq, Eq, Debug)]
pub struct Path {
    /// From the crate's root.
    pub segments: Vec<String>,
    pub line: usize,
}

/// The tokens of `source`.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut reader = Reader { characters: source.chars().collect(), at: 0, line: 1 };
    let mut words = Vec::new();
    while let Some(word) = reader.word() {
        words.push(word);
    }
    scoped(words)
}

/// The paths in `tokens` of the file that is the module `file`.
pub fn paths(tokens: &[Token], file: &[String]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        let follows_path = at > 0 && tokens[at - 1].text == "::";
        let begins = matches!(token.text.as_str(), "crate" | "self" | "super") && !follows_path;
        if !begins || tokens.get(at + 1).is_none_or(|next| next.text != "::") {
            at += 1;
            continue;
        }
        let home: Vec<String> = file.iter().chain(&token.scope.modules).cloned().collect();
        at = branch(tokens, at, &[], &mut |segments| {
            found.push(Path { segments: resolve(&home, segments), line: token.line });
        });
    }
    found
}

/// Walks one branch of a tree of paths that begins at `at`; returns where it ends.
fn branch(tokens: &[Token], mut at: usize, before: &[String], found: &mut impl FnMut(&[String])) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut segments = before.to_vec();
    loop {
        if text(at) == "{" {
            at += 1;
            while !matches!(text(at), "}" | "") {
                // A branch always takes its first token, so that this ends.
                at = branch(tokens, at, &segments, found);
                while !matches!(text(at), "," | "}" | "") {
                    at += 1; // `as name`
                }
                at += usize::from(text(at) == ",");
            }
            return at + 1;
        }
        segments.push(text(at).into());
        at += 1;
        let goes_on = text(at) == "::" && (is_word(text(at + 1)) || matches!(text(at + 1), "{" | "*"));
        if !goes_on {
            found(&segments);
            return at;
        }
        at += 1;
    }
}

fn resolve(home: &[String], segments: &[String]) -> Vec<String> {
    let mut resolved = home.to_vec();
    for (index, segment) in segments.iter().enumerate() {
        match segment.as_str() {
            "crate" => resolved.clear(),
            "super" => drop(resolved.pop()),
            "self" if index == 0 || index + 1 == segments.len() => {}
            _ => resolved.push(segment.clone()),
        }
    }
    resolved
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

/// Gives each word the scope that it stands in.
fn scoped(words: Vec<(String, usize)>) -> Vec<Token> {
    let mut scopes = vec![Rc::new(Scope::default())];
    // Where the item that a brace may open began.
    let mut head = 0;
    let mut tokens: Vec<Token> = Vec::with_capacity(words.len());
    for (text, line) in words {
        if text == "}" && scopes.len() > 1 {
            scopes.pop();
        }
        let opens = text == "{";
        let ends = matches!(text.as_str(), "{" | "}" | ";");
        tokens.push(Token { text, line, scope: scopes[scopes.len() - 1].clone() });
        if opens {
            let inner = inside(&tokens[head..tokens.len() - 1], &scopes[scopes.len() - 1]);
            scopes.push(Rc::new(inner));
        }
        if ends {
            head = tokens.len();
        }
    }
    tokens
}

/// The scope that a brace opens behind the item's `head`.
fn inside(head: &[Token], outer: &Scope) -> Scope {
    let mut modules = outer.modules.clone();
    if let [.., keyword, name] = head {
        if keyword.text == "mod" {
            modules.push(name.text.clone());
        }
    }
    let is_impl = head.iter().any(|token| token.text == "impl") && !head.iter().any(|token| token.text == "fn");
    // `for<'a>` is a bound, not the `for` of an implementation.
    let for_type = head.windows(2).any(|pair| pair[0].text == "for" && pair[1].text != "<");
    Scope { modules, in_trait_impl: is_impl && for_type }
}

struct Reader {
    characters: Vec<char>,
    at: usize,
    line: usize,
}

impl Reader {
    fn peek(&self, ahead: usize) -> char {
        self.characters.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn step(&mut self) -> char {
        let character = self.peek(0);
        self.at += 1;
        self.line += usize::from(character == '\n');
        character
    }

    /// The next word, and the line that it begins on.
    fn word(&mut self) -> Option<(String, usize)> {
        loop {
            match (self.peek(0), self.peek(1)) {
                _ if self.at >= self.characters.len() => return None,
                ('/', '/') => while !matches!(self.step(), '\n' | '\0') {},
                ('/', '*') => self.block_comment(),
                (space, _) if space.is_whitespace() => drop(self.step()),
                _ => break,
            }
        }
        let line = self.line;
        let first = self.step();
        let text = match first {
            '"' => self.string(),
            '\'' => self.quote(),
            ':' if self.peek(0) == ':' => {
                self.step();
                "::".into()
            }
            _ if first.is_alphanumeric() || first == '_' => self.name(first),
            _ => first.into(),
        };
        Some((text, line))
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.characters.len() {
            match (self.step(), self.peek(0)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => continue,
            }
            self.step();
            if depth == 0 {
                return;
            }
        }
    }

    /// Behind an opening double quote.
    fn string(&mut self) -> String {
        while self.at < self.characters.len() {
            match self.step() {
                '\\' => drop(self.step()),
                '"' => break,
                _ => {}
            }
        }
        "\"".into()
    }

    /// Behind an opening single quote: a character, or a lifetime.
    fn quote(&mut self) -> String {
        if self.peek(0) == '\\' {
            self.at += 2;
            while !matches!(self.step(), '\'' | '\0') {}
        } else if self.peek(1) == '\'' {
            self.step();
            self.step();
        }
        "'".into()
    }

    /// A name, a number, or a raw string.
    fn name(&mut self, first: char) -> String {
        let mut name = String::from(first);
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            name.push(self.step());
        }
        let hashes = self.characters[self.at..].iter().take_while(|character| **character == '#').count();
        if !matches!(name.as_str(), "r" | "br" | "cr") || self.peek(hashes) != '"' {
            return name;
        }
        self.at += hashes + 1;
        while self.at < self.characters.len() {
            if self.step() == '"' && (0..hashes).all(|ahead| self.peek(ahead) == '#') {
                self.at += hashes;
                break;
            }
        }
        "\"".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> String {
        tokens(source).into_iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    fn found(source: &str, file: &[&str]) -> Vec<String> {
        let file: Vec<String> = file.iter().map(|part| part.to_string()).collect();
        paths(&tokens(source), &file).into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_strings_are_overlooked() {
        assert_eq!(texts("a // crate::b\n/* c /* d */ \" */ e"), "a e");
        assert_eq!(texts(r##"f("crate::g \" h", r#"i " j"#, b"k", c"l")"##), "f ( \" , \" , b \" , c \" )");
        assert_eq!(texts(r"m('\'', '{', '\u{7d}') n<'o>"), "m ( ' , ' , ' ) n < ' o >");
        assert_eq!(texts("r#type"), "r # type");
        assert_eq!(tokens("a\n/*\n*/ \"\n\" b").iter().map(|token| token.line).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn every_branch_of_a_use_is_found() {
        let uses = "use crate::{a::{self, B as C, d::*}, e}; fn f() { crate::g::<u8>(); self.h::<u8>() }";
        assert_eq!(found(uses, &["x"]), ["a", "a::B", "a::d::*", "e", "g"]);
        assert!(found("pub(crate) fn f() {} pub(super) struct S; use x::crate_name;", &["x"]).is_empty());
        assert_eq!(found("macro_rules! m { () => { $crate::n::o() } }", &["x"]), ["n::o"]);
    }

    #[test]
    fn super_is_resolved_through_files_and_inline_modules() {
        assert_eq!(found("use super::c;", &["a", "b"]), ["a::c"]);
        assert_eq!(found("use super::super::c::D;", &["a", "b"]), ["c::D"]);
        let inline = "mod tests { fn f() { if x {} } use super::g; } use super::h;";
        assert_eq!(found(inline, &["a", "b"]), ["a::b::g", "a::h"]);
        assert_eq!(found("use self::c;", &["a"]), ["a::c"]);
    }

    #[test]
    fn implementations_of_traits_are_told_apart() {
        let source = "impl A { fn b() {} } impl<T: for<'a> F<'a>> C { fn d() {} } unsafe impl E for G { fn h() {} }";
        let inside: Vec<bool> = tokens(source)
            .iter()
            .filter(|token| matches!(token.text.as_str(), "b" | "d" | "h"))
            .map(|token| token.scope.in_trait_impl)
            .collect();
        assert_eq!(inside, [false, false, true]);
    }
}
