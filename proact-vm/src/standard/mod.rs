//! Modules for programs. A host registers those that a program may use; a module gives what it was made with, and
//! nothing else.

pub mod invocation;
