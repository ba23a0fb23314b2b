//! Peers that are no part of what a case tests: sockets of the operating system, or, in a simulated world, of another
//! process of the case's host. What they do is done when their calls come back, as with blocking sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use proact::operation::{Complete, Connect, Context, Kind, Op, Outcome, Receive, Send, SendTo};
use proact::proactor::Proactor;
use proact::resource::{Address, Domain, Socket, SocketOptions};
use proact::status::{Operation, Result, Status};
use proact::time::Timeout;

use crate::config::Configuration;

/// Somebody who has connected to a listener of the case.
pub struct Peer(Stream);

enum Stream {
    System(TcpStream),
    Simulated(Box<Simulated>),
}

/// A socket of another process. The socket goes first, as it does where a process ends.
struct Simulated {
    socket: Socket,
    proactor: Proactor,
}

/// Notes how its operation ended.
struct Note<T>(std::sync::mpsc::Sender<Result<T>>);

impl<K: Kind> Complete<K> for Note<K::Output> {
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        // Who asked for it may have given it up.
        let _ = op.state.0.send(outcome.result);
    }
}

impl Simulated {
    /// Does one thing, and waits for it.
    fn carry_out<K: Kind>(&mut self, kind: K) -> Result<K::Output> {
        let (sender, told) = std::sync::mpsc::channel();
        self.proactor.submit(Op::new(kind, Note(sender))).map_err(|refused| refused.status)?;
        self.proactor.run()?;
        told.try_recv().expect("nothing is in flight")
    }
}

impl Peer {
    /// Connects to a listener, over TCP.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(config: Configuration, to: &Address) -> Result<Peer> {
        if !config.is_simulated() {
            let stream = TcpStream::connect(to.to_string());
            return Ok(Peer(Stream::System(
                stream.map_err(|error| Status::from_io_error(Operation::SocketConnect, &error))?,
            )));
        }
        let proactor = config.builder().build()?;
        let socket = proactor.handle().socket(Domain::of(to), &SocketOptions::default())?;
        let mut peer = Simulated { socket: socket.clone(), proactor };
        peer.carry_out(Connect::new(socket, to.clone()))?;
        Ok(Peer(Stream::Simulated(Box::new(peer))))
    }

    /// Its own end's address: what the case's accept should tell.
    pub fn address(&self) -> Address {
        match &self.0 {
            Stream::System(stream) => Address::from(stream.local_addr().expect("a connected socket")),
            Stream::Simulated(peer) => peer.socket.local_address().expect("a connected socket"),
        }
    }

    /// Sends all of it.
    pub fn write(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Stream::System(stream) => stream.write_all(bytes).expect("sent"),
            Stream::Simulated(peer) => {
                peer.carry_out(Send::exact(peer.socket.clone(), bytes.to_vec())).expect("sent");
            }
        }
    }

    /// Sends no more, and still receives.
    pub fn end_sending(&self) {
        match &self.0 {
            Stream::System(stream) => stream.shutdown(Shutdown::Write).expect("a connected socket"),
            Stream::Simulated(peer) => peer.socket.shutdown(proact::resource::Shutdown::Send).expect("connected"),
        }
    }

    /// Resets the connection.
    pub fn reset(self) {
        // A linger of nothing makes the close a reset.
        match &self.0 {
            Stream::System(stream) => {
                socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("a socket")
            }
            Stream::Simulated(peer) => peer.socket.set_linger(Some(Duration::ZERO)).expect("a socket"),
        }
    }

    /// Whether the case's end has sent its last, as far as is known here now.
    pub fn has_ended(&mut self) -> bool {
        match &mut self.0 {
            Stream::System(stream) => {
                stream.set_nonblocking(true).expect("a socket");
                matches!(stream.read(&mut [0]), Ok(0))
            }
            Stream::Simulated(peer) => {
                let (sender, told) = std::sync::mpsc::channel();
                let receive = Op::new(Receive::some(peer.socket.clone(), vec![0]), Note(sender));
                let id = peer.proactor.submit(receive).unwrap_or_else(|refused| panic!("refused: {refused}"));
                peer.proactor.poll(Timeout::Immediate).expect("poll");
                // What has ended is not found any more.
                let _ = peer.proactor.cancel(id);
                peer.proactor.run().expect("poll");
                matches!(told.try_recv().expect("it has ended"), Ok(0))
            }
        }
    }
}

/// Somebody who sends datagrams over IPv4.
pub enum Sender {
    /// A socket of the operating system.
    System(UdpSocket),
    /// One of another process in the simulated world.
    Simulated(Box<(Socket, Proactor)>),
}

impl Sender {
    /// Bound to a port of its own.
    pub fn new(config: Configuration) -> Sender {
        let own: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        if !config.is_simulated() {
            return Sender::System(UdpSocket::bind(own).expect("a port"));
        }
        let proactor = config.builder().build().expect("a proactor");
        let socket = proactor.handle().datagram(Domain::Ipv4, &SocketOptions::default()).expect("a socket");
        socket.bind(&own.into()).expect("a port");
        Sender::Simulated(Box::new((socket, proactor)))
    }

    /// Sends one.
    pub fn send(&mut self, bytes: &[u8], to: &Address) {
        match self {
            Sender::System(socket) => drop(socket.send_to(bytes, to.to_string()).expect("sent")),
            Sender::Simulated(peer) => {
                let (socket, proactor) = &mut **peer;
                let send = SendTo::new(socket.clone(), bytes.to_vec(), to.clone());
                proactor.submit(Op::new(send, ())).unwrap_or_else(|refused| panic!("refused: {refused}"));
                proactor.run().expect("poll");
            }
        }
    }
}
