//! Sockets.

mod tcp;

pub use self::tcp::{Incoming, TcpListener, TcpStream};
