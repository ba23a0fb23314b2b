//! Convention strings, read.

use std::fmt;
use std::str::FromStr;

use proact::status::Code;

use crate::error::{Error, Result};

/// Letters in a convention at most, so that what is parsed from a file stays small.
const LETTERS_MAX: usize = 1 << 16;

/// One member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Letter {
    /// `i`
    I32,
    /// `I`
    I64,
    /// `f`
    F32,
    /// `F`
    F64,
    /// `r`
    Ref,
}

impl Letter {
    /// As conventions spell it.
    pub const fn as_char(self) -> char {
        match self {
            Letter::I32 => 'i',
            Letter::I64 => 'I',
            Letter::F32 => 'f',
            Letter::F64 => 'F',
            Letter::Ref => 'r',
        }
    }

    const fn from_byte(byte: u8) -> Option<Letter> {
        match byte {
            b'i' => Some(Letter::I32),
            b'I' => Some(Letter::I64),
            b'f' => Some(Letter::F32),
            b'F' => Some(Letter::F64),
            b'r' => Some(Letter::Ref),
            _ => None,
        }
    }
}

/// A member, or a span of tuples.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Item {
    /// One value.
    One(Letter),
    /// As many tuples as the call says; never of no letters.
    Span(Box<[Letter]>),
}

/// The arguments, or the results.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Fragment {
    items: Box<[Item]>,
    variadic: bool,
    /// Its letters, nothings left out.
    text: Box<str>,
}

impl Fragment {
    /// What it consists of, in order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether there is a span.
    pub fn is_variadic(&self) -> bool {
        self.variadic
    }

    /// How many values: `INVALID_ARGUMENT` where a span leaves it open.
    pub fn count(&self) -> Result<usize> {
        if self.variadic {
            return Err(Error::invalid("a span's length is told by each call"));
        }
        Ok(self.items.len())
    }

    /// Whether it has the letters that `letters` tells, one after another.
    pub(crate) fn is_spelled(&self, letters: impl FnOnce(&mut dyn FnMut(&'static str))) -> bool {
        let mut rest = Some(&*self.text);
        letters(&mut |letters| rest = rest.and_then(|rest| rest.strip_prefix(letters)));
        rest == Some("")
    }

    fn parse(text: &str, at: usize) -> Result<Fragment> {
        let mut items = Vec::new();
        let mut span: Option<Vec<Letter>> = None;
        for (index, byte) in text.bytes().enumerate() {
            let wrong = |why: &str| Error::invalid(format!("{why} at {}", at + index));
            match (byte, &mut span) {
                (b'v', _) => {}
                (b'C', None) => span = Some(Vec::new()),
                (b'C', Some(_)) => return Err(wrong("a span within a span")),
                (b'D', None) => return Err(wrong("the end of a span that has not begun")),
                (b'D', Some(letters)) if letters.is_empty() => return Err(wrong("a span of nothing")),
                (b'D', Some(letters)) => {
                    items.push(Item::Span(std::mem::take(letters).into()));
                    span = None;
                }
                (_, span) => {
                    let letter = Letter::from_byte(byte).ok_or_else(|| wrong("an unknown letter"))?;
                    match span {
                        Some(letters) => letters.push(letter),
                        None => items.push(Item::One(letter)),
                    }
                }
            }
        }
        if span.is_some() {
            return Err(Error::invalid("a span without its end"));
        }
        let variadic = items.iter().any(|item| matches!(item, Item::Span(_)));
        let text = text.chars().filter(|&letter| letter != 'v').collect::<String>().into();
        Ok(Fragment { items: items.into(), variadic, text })
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a function takes and answers.
///
/// ```
/// use proact_vm::convention::Convention;
///
/// let convention: Convention = "0iCrD_I".parse()?;
/// assert!(convention.arguments().is_variadic());
/// assert_eq!(convention.results().count()?, 1);
/// assert_eq!(convention.to_string(), "0iCrD_I");
/// assert_eq!("0v_v".parse::<Convention>()?, "".parse()?, "nothing is spelled in several ways");
/// # Ok::<(), proact_vm::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Convention {
    arguments: Fragment,
    results: Fragment,
}

impl Convention {
    /// The arguments.
    pub fn arguments(&self) -> &Fragment {
        &self.arguments
    }

    /// The results. Never variadic.
    pub fn results(&self) -> &Fragment {
        &self.results
    }
}

impl FromStr for Convention {
    type Err = Error;

    /// `UNIMPLEMENTED` for another version than 0, else `INVALID_ARGUMENT` with what is wrong and where.
    fn from_str(text: &str) -> Result<Convention> {
        let parse = || {
            let Some(version) = text.chars().next() else {
                return Ok(Convention::default());
            };
            if text.len() > LETTERS_MAX {
                return Err(Error::invalid(format!("{} letters, of {LETTERS_MAX} at most", text.len())));
            }
            if version != '0' {
                let message = format!("version {version:?} of calling conventions: 0 is known");
                return Err(Error::new(Code::Unimplemented, message));
            }
            let body = &text[1..];
            let (arguments, results) = body.split_once('_').unwrap_or((body, ""));
            let convention = Convention {
                arguments: Fragment::parse(arguments, 1)?,
                results: Fragment::parse(results, 2 + arguments.len())?,
            };
            if convention.results.variadic {
                return Err(Error::invalid("a span among the results"));
            }
            Ok(convention)
        };
        parse().map_err(|error| {
            let shown: String = text.chars().take(64).collect();
            error.about(format!("calling convention {shown:?}"))
        })
    }
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{}", self.arguments)?;
        match self.results.items.is_empty() {
            true => Ok(()),
            false => write!(f, "_{}", self.results),
        }
    }
}
