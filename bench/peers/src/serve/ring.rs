//! The floor: a bare ring, one receive or send under way a connection, one enter for all that is to be said.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{opcode, squeue, types};

use super::Answer;
use crate::Failure;
use crate::bare::{self, Ring};

const ACCEPT: u64 = u64::MAX;

struct Connection {
    stream: OwnedFd,
    buffer: Box<[u8]>,
    sends: bool,
}

/// How the ring is made and asked.
#[derive(Clone, Copy)]
pub struct How {
    /// Completions are made when this thread enters the kernel for them, and not whenever it is in the kernel.
    pub defer: bool,
    /// A receive waits for bytes before it looks for them, as none can be there when the answer has just gone out.
    pub poll_first: bool,
}

pub fn serve(listener: TcpListener, answer: Answer, how: How) -> Result<(), Failure> {
    let mut ring = bare::of(1024, how.defer)?;
    let accept = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build().user_data(ACCEPT);
    push(&mut ring, &accept)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut ended: Vec<(u64, i32)> = Vec::new();
    loop {
        ring.enter(1)?;
        ended.extend(ring.ended().map(|completion| (completion.user_data(), completion.result())));
        for (index, result) in ended.drain(..) {
            if index == ACCEPT {
                if result < 0 {
                    return Err(std::io::Error::from_raw_os_error(-result).into());
                }
                // SAFETY: just accepted, and nobody else's.
                let stream = std::net::TcpStream::from(unsafe { OwnedFd::from_raw_fd(result) });
                stream.set_nodelay(true)?;
                let index = connections.len();
                let mut connection =
                    Connection { stream: stream.into(), buffer: vec![0; answer.buffer()].into(), sends: false };
                let entry = receive(&mut connection, index, how);
                connections.push(Some(connection));
                push(&mut ring, &entry)?;
                continue;
            }
            let place = &mut connections[index as usize];
            let Some(connection) = place else { continue };
            if result <= 0 {
                *place = None;
                continue;
            }
            let length = match connection.sends {
                true => 0,
                false => answer.fill(&mut connection.buffer[..], result as usize),
            };
            connection.sends = length > 0;
            let entry = match length {
                0 => receive(connection, index as usize, how),
                length => {
                    let fd = types::Fd(connection.stream.as_raw_fd());
                    opcode::Send::new(fd, connection.buffer.as_ptr(), length as u32).build().user_data(index)
                }
            };
            push(&mut ring, &entry)?;
        }
    }
}

fn receive(connection: &mut Connection, index: usize, how: How) -> squeue::Entry {
    let fd = types::Fd(connection.stream.as_raw_fd());
    // IORING_RECVSEND_POLL_FIRST, of <linux/io_uring.h>.
    let flags = if how.poll_first { 1 } else { 0 };
    let receive = opcode::Recv::new(fd, connection.buffer.as_mut_ptr(), connection.buffer.len() as u32).ioprio(flags);
    receive.build().user_data(index as u64)
}

fn push(ring: &mut Ring, entry: &squeue::Entry) -> std::io::Result<()> {
    // SAFETY: buffers lie in boxes of connections, which are dropped only when nothing of theirs is under way.
    unsafe { ring.push(entry) }
}
