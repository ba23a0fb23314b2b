//! Which imports a program may call in the place of one of its functions (`return_call`).
//!
//! The engine can stop in such a call, and not go on: it puts the results where the function that is gone had its
//! operands, and not where the caller looks for them. So imports that may stop are refused where that can happen,
//! before anything runs. Those that come to their end at once answer as they should.

use proact::status::Code;
use wasmparser::{
    BinaryReaderError, ConstExpr, ElementItems, ElementSectionReader, FunctionBody, GlobalSectionReader,
    ImportSectionReader, Operator, TypeRef,
};

use crate::error::Error;

/// The error of an import that may stop, and is called so.
#[cold]
pub(super) fn refused() -> Error {
    let message = "it may stop, and is called in the place of a function of the program (return_call), which the \
        engine does not go on from: call it, and return";
    Error::new(Code::Unimplemented, message)
}

/// What was found so far; sections come in the order of the format, in which imports are before all that names them.
#[derive(Default)]
pub(super) struct TailCalls {
    /// Of each imported function, in order.
    imports: Vec<Seen>,
    /// There is a tail call of what a table holds.
    through_tables: bool,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    is_tail_called: bool,
    /// A table may hold it.
    is_referred_to: bool,
}

impl TailCalls {
    pub fn imports(&mut self, section: ImportSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for import in section {
            if let TypeRef::Func(_) = import?.ty {
                self.imports.push(Seen::default());
            }
        }
        Ok(())
    }

    pub fn globals(&mut self, section: GlobalSectionReader<'_>) -> Result<(), BinaryReaderError> {
        section.into_iter().try_for_each(|global| self.constant(&global?.init_expr))
    }

    pub fn elements(&mut self, section: ElementSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for element in section {
            match element?.items {
                ElementItems::Functions(functions) => {
                    for function in functions {
                        self.refers_to(function?);
                    }
                }
                ElementItems::Expressions(_, expressions) => {
                    for expression in expressions {
                        self.constant(&expression?)?;
                    }
                }
            }
        }
        Ok(())
    }

    pub fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), BinaryReaderError> {
        if self.imports.is_empty() {
            return Ok(());
        }
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::ReturnCall { function_index } => {
                    if let Some(import) = self.imports.get_mut(function_index as usize) {
                        import.is_tail_called = true;
                    }
                }
                Operator::ReturnCallIndirect { .. } | Operator::ReturnCallRef { .. } => self.through_tables = true,
                Operator::RefFunc { function_index } => self.refers_to(function_index),
                _ => {}
            }
        }
        Ok(())
    }

    /// Of each imported function whether it may be called in the place of another.
    pub fn finish(self) -> Vec<bool> {
        let through_tables = self.through_tables;
        self.imports.into_iter().map(|seen| seen.is_tail_called || (through_tables && seen.is_referred_to)).collect()
    }

    fn constant(&mut self, expression: &ConstExpr<'_>) -> Result<(), BinaryReaderError> {
        for operator in expression.get_operators_reader() {
            if let Operator::RefFunc { function_index } = operator? {
                self.refers_to(function_index);
            }
        }
        Ok(())
    }

    fn refers_to(&mut self, function: u32) {
        if let Some(import) = self.imports.get_mut(function as usize) {
            import.is_referred_to = true;
        }
    }
}
