//! The proact program.

fn main() {}
