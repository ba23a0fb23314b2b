//! The imports that every program may have of the machine itself.

use proact::status::Code;
use wasmi::{FuncType, ValType};

use crate::error::{Error, Result};

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Builtin {
    Yield,
    Retain,
    Release,
    Error,
}

impl Builtin {
    pub const MODULE: &'static str = "proact";

    const ALL: [Builtin; 4] = [Builtin::Yield, Builtin::Retain, Builtin::Release, Builtin::Error];

    pub const fn name(self) -> &'static str {
        match self {
            Builtin::Yield => "yield",
            Builtin::Retain => "retain",
            Builtin::Release => "release",
            Builtin::Error => "error",
        }
    }

    pub fn wasm(self) -> FuncType {
        let (parameters, results): (&[ValType], &[ValType]) = match self {
            Builtin::Yield => (&[], &[]),
            Builtin::Retain => (&[ValType::I32], &[ValType::I32]),
            Builtin::Release => (&[ValType::I32], &[]),
            Builtin::Error => (&[ValType::I32, ValType::I32], &[ValType::I32]),
        };
        FuncType::new(parameters.iter().copied(), results.iter().copied())
    }

    /// `NOT_FOUND` for a name that is none of them, `INVALID_ARGUMENT` for another type.
    pub fn find(name: &str, wasm: &FuncType) -> Result<Builtin> {
        let found = Builtin::ALL.into_iter().find(|builtin| builtin.name() == name);
        let found = found.ok_or_else(|| {
            let known: Vec<&str> = Builtin::ALL.iter().map(|builtin| builtin.name()).collect();
            Error::new(Code::NotFound, format!("the machine offers {}", known.join(", ")))
        })?;
        if found.wasm() != *wasm {
            return Err(Error::invalid(format!("its type is {:?}, not {wasm:?}", found.wasm())));
        }
        Ok(found)
    }
}
