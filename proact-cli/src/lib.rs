//! The parts of the `proact` program.
//!
//! One file an idea: [`cli`] reads the command line, [`plan`] lists what is to be sent by walking a [`source`] tree,
//! [`wire`] is the transfer protocol as pure data, [`path`] judges names that came from a peer, [`progress`] and
//! [`report`] tell the user what happens and what happened, [`exit`] says with which code the program ends,
//! [`shown`] how words of others are shown.
//! [`transfer`] is the engine, and [`command`] what stands around it: one function a command.
//!
//! The library exists so that the program, its benchmark opponent and the conformance suite share these parts. It
//! promises no stable interface to anyone else.
#![deny(unsafe_code)]
// Its readers read the sources: a module's overview names the private files beside it.
#![allow(rustdoc::private_intra_doc_links)]

pub mod cli;
pub mod command;
pub mod exit;
pub mod path;
pub mod plan;
pub mod progress;
pub mod report;
pub mod shown;
pub mod size;
pub mod source;
pub mod transfer;
pub mod usage;
pub mod wire;
