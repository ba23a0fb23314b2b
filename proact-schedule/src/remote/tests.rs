//! Machines of one session, in memory and on hosts of simulated worlds, under virtual time.

/// Makes tests of functions that take what their machines speak over: each in memory and over sockets.
macro_rules! over_both {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $case() { super::$case($crate::remote::tests::network::On::Memory) })*
        }
        mod sockets {
            $(#[test] fn $case() { super::$case($crate::remote::tests::network::On::Sockets) })*
        }
    };
}
use over_both;

mod cases;
mod hosts;
mod loss;
mod network;
mod oracle;
mod recorded;
mod world;
