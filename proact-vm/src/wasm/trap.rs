//! What the engine's failures mean.

use proact::status::Code;
use wasmi::TrapCode;
use wasmi::errors::{ErrorKind, InstantiationError};

use super::guest::Stop;
use crate::error::Error;

/// The error of a call that the engine ended.
#[cold]
pub(super) fn error(error: &wasmi::Error) -> Error {
    if let Some(Stop::Fault(fault)) = error.downcast_ref::<Stop>() {
        return fault.clone();
    }
    let Some(trap) = error.as_trap_code() else {
        let code = match error.kind() {
            ErrorKind::Memory(_) | ErrorKind::Table(_) => Code::ResourceExhausted,
            ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => Code::OutOfRange,
            ErrorKind::Instantiation(_) => Code::ResourceExhausted,
            _ => Code::Internal,
        };
        return Error::new(code, error.to_string());
    };
    let (code, words) = match trap {
        TrapCode::UnreachableCodeReached => (Code::Aborted, "the program gave up: it executed \"unreachable\""),
        TrapCode::MemoryOutOfBounds => (Code::OutOfRange, "an access past the end of memory"),
        TrapCode::TableOutOfBounds => (Code::OutOfRange, "an access past the end of a table"),
        TrapCode::IndirectCallToNull => (Code::InvalidArgument, "an indirect call of no function"),
        TrapCode::BadSignature => (Code::InvalidArgument, "an indirect call of a function of another type"),
        TrapCode::IntegerDivisionByZero => (Code::InvalidArgument, "a division by zero"),
        TrapCode::IntegerOverflow => (Code::OutOfRange, "an integer overflow"),
        TrapCode::BadConversionToInteger => (Code::OutOfRange, "no integer is what was to become one"),
        TrapCode::StackOverflow => (Code::ResourceExhausted, "calls within one another too deep"),
        TrapCode::OutOfFuel => (Code::ResourceExhausted, "the fuel is used up"),
        TrapCode::GrowthOperationLimited => (Code::ResourceExhausted, "a growth beyond the limit"),
        TrapCode::OutOfSystemMemory => (Code::ResourceExhausted, "the system has no memory left"),
    };
    Error::new(code, format!("trap: {words}"))
}
