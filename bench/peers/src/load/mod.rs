//! The load generator: the same for every server, on a bare epoll.
//!
//! Each connection has one request under way. The answer's last byte is waited for, its time noted, and the next
//! request sent.

mod extra;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

pub use extra::{Stream, answer_length, connect_and_close};

/// What is sent and how long the answer is.
#[derive(Clone)]
pub struct Exchange {
    pub request: Vec<u8>,
    pub answer: usize,
}

/// What was measured.
pub struct Load {
    pub requests: u64,
    pub elapsed: Duration,
    /// Nanoseconds of every request, sorted.
    latencies: Vec<u32>,
}

impl Load {
    /// How many requests were answered before the time was up.
    pub fn in_time(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that `part` of the requests did not exceed, in microseconds.
    pub fn quantile(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (self.latencies.len() as f64 * part) as usize;
        self.latencies.get(at.min(last)).map_or(0.0, |&nanoseconds| f64::from(nanoseconds) / 1000.0)
    }
}

/// One connection and where its answer stands.
struct Connection {
    stream: TcpStream,
    sent: Instant,
    missing: usize,
}

/// Connections under load.
pub struct Generator {
    epoll: i32,
    connections: Vec<Connection>,
    exchange: Exchange,
}

impl Generator {
    /// Connects. The server must accept all of them.
    pub fn connect(address: SocketAddr, count: usize, exchange: Exchange) -> io::Result<Generator> {
        Generator::of(count, exchange, || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }

    fn of(count: usize, exchange: Exchange, make: impl Fn() -> io::Result<TcpStream>) -> io::Result<Generator> {
        // SAFETY: no pointer is passed.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut generator = Generator { epoll, connections: Vec::with_capacity(count), exchange };
        for index in 0..count {
            let stream = make()?;
            stream.set_nonblocking(true)?;
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            // SAFETY: the kernel reads the event; both descriptors are open.
            if unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, stream.as_raw_fd(), &mut event) } != 0 {
                return Err(io::Error::last_os_error());
            }
            generator.connections.push(Connection { stream, sent: Instant::now(), missing: 0 });
        }
        Ok(generator)
    }

    /// Exchanges on every connection for `time`.
    pub fn run(&mut self, time: Duration) -> io::Result<Load> {
        let mut latencies = Vec::with_capacity(1 << 20);
        let start = Instant::now();
        for index in 0..self.connections.len() {
            self.send(index)?;
        }
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 512];
        let mut answer = vec![0u8; self.exchange.answer.max(4096)];
        let mut waiting = self.connections.len();
        let mut ending = None;
        while waiting > 0 {
            // SAFETY: the kernel writes at most as many events as there is room for.
            let count = unsafe { libc::epoll_wait(self.epoll, events.as_mut_ptr(), events.len() as i32, 5000) };
            if count < 0 {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            if count == 0 {
                return Err(io::Error::other("no answer in five seconds"));
            }
            if ending.is_none() && start.elapsed() >= time {
                ending = Some((start.elapsed(), latencies.len()));
            }
            for event in &events[..count as usize] {
                let index = event.u64 as usize;
                let connection = &mut self.connections[index];
                let length = match connection.stream.read(&mut answer) {
                    Ok(0) => return Err(io::Error::other("the server closed a connection")),
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                };
                if length > connection.missing {
                    return Err(io::Error::other("an answer that nobody asked for"));
                }
                connection.missing -= length;
                if connection.missing > 0 {
                    continue;
                }
                latencies.push(u32::try_from(connection.sent.elapsed().as_nanos()).unwrap_or(u32::MAX));
                match ending {
                    None => self.send(index)?,
                    Some(_) => waiting -= 1,
                }
            }
        }
        let (elapsed, counted) = ending.unwrap_or((start.elapsed(), latencies.len()));
        let requests = latencies.len() as u64;
        latencies.truncate(counted.max(1));
        latencies.sort_unstable();
        // The last answers of each connection came after the time was up: they count for the processor time, which goes
        // on until they are there, and not for the rate.
        Ok(Load { requests, elapsed, latencies })
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.sent = Instant::now();
        connection.missing = self.exchange.answer;
        // A request is far smaller than a socket's buffer, which is empty: the one before was answered.
        match connection.stream.write(&self.exchange.request)? {
            length if length == self.exchange.request.len() => Ok(()),
            _ => Err(io::Error::other("a short request")),
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this value's own.
        unsafe { libc::close(self.epoll) };
    }
}
