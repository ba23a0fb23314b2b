//! The floor: a bare epoll, level triggered, and two system calls a request.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use super::Answer;
use crate::Failure;

pub fn serve(listener: TcpListener, answer: Answer) -> Result<(), Failure> {
    // SAFETY: no pointer is passed.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    watch(epoll, listener.as_raw_fd(), u64::MAX)?;
    let mut connections: Vec<Option<(TcpStream, Box<[u8]>)>> = Vec::new();
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 512];
    loop {
        // SAFETY: the kernel writes at most as many events as there is room for.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, -1) };
        if count < 0 {
            return Err(io::Error::last_os_error().into());
        }
        for event in &events[..count as usize] {
            if event.u64 == u64::MAX {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                watch(epoll, stream.as_raw_fd(), connections.len() as u64)?;
                connections.push(Some((stream, vec![0; answer.buffer()].into())));
                continue;
            }
            let place = &mut connections[event.u64 as usize];
            let Some((stream, buffer)) = place else { continue };
            let done = match stream.read(&mut buffer[..]) {
                Ok(0) => true,
                Ok(received) => {
                    let length = answer.fill(&mut buffer[..], received);
                    length > 0 && stream.write_all(&buffer[..length]).is_err()
                }
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            };
            if done {
                *place = None;
            }
        }
    }
}

fn watch(epoll: i32, fd: i32, data: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: data };
    // SAFETY: the kernel reads the event; both descriptors are open.
    match unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
