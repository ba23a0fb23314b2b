//! Machines of one session in memory, under virtual time.

mod cases;
mod loss;
mod oracle;
mod recorded;
mod world;
