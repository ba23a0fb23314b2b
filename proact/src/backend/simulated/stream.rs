//! Stream sockets: bound, listening, connected.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::address::Name;
use super::connection::{CAPACITY, End};
use super::disk::{Kind, ROOT};
use super::errno::{EADDRINUSE, EAFNOSUPPORT, EAGAIN, EBADF, EINVAL, ENOTCONN, EOPNOTSUPP};
use super::state::{Body, State};
use crate::backend::{Family, SocketSpec};

/// Connections that wait to be accepted at most.
const BACKLOG_MAX: u32 = 4096;

pub(super) struct StreamSocket {
    pub(super) spec: SocketSpec,
    pub(super) name: Name,
    pub(super) bound: bool,
    pub(super) state: StreamState,
    /// How often it has asked for a connection.
    pub(super) asked: u32,
    /// Why it could not connect: told once.
    pub(super) error: Option<i32>,
}

pub(super) enum StreamState {
    Idle,
    Listening { backlog: usize, waiting: VecDeque<u32>, shut: bool },
    Connecting,
    Connected { connection: u32, side: usize },
}

impl StreamSocket {
    pub(super) fn new(spec: SocketSpec) -> StreamSocket {
        let (name, state) = (Name::any(spec.family), StreamState::Idle);
        StreamSocket { spec, name, bound: false, state, asked: 0, error: None }
    }

    pub(super) fn connected(spec: SocketSpec, name: Name) -> StreamSocket {
        StreamSocket { bound: name != Name::Unnamed, name, ..StreamSocket::new(spec) }
    }
}

impl State {
    pub(super) fn stream(&mut self, object: u32) -> Result<&mut StreamSocket, i32> {
        match self.body(object)? {
            Body::Stream(socket) => Ok(socket),
            _ => Err(EOPNOTSUPP),
        }
    }

    /// Two streams that are each other's peer.
    pub(super) fn stream_pair(&mut self, port: u32) -> (i32, i32) {
        let spec = SocketSpec {
            family: Family::Unix,
            datagram: false,
            reuse_port: false,
            reset_on_close: false,
            dual_stack: false,
            receive_buffer: None,
        };
        let made = [0, 1].map(|_| self.make_object(port, Body::Stream(StreamSocket::new(spec))));
        let host = self.host_of_port(port);
        let number = self.connect_ends(made.map(|object| End::new(object, host, Name::Unnamed, CAPACITY)), true);
        for (side, object) in made.into_iter().enumerate() {
            if let Ok(socket) = self.stream(object) {
                socket.state = StreamState::Connected { connection: number, side };
            }
        }
        (self.name_object(made[0]), self.name_object(made[1]))
    }

    pub(super) fn listen(&mut self, object: u32, backlog: u32) -> Result<(), i32> {
        let backlog = if backlog == 0 { BACKLOG_MAX } else { backlog.min(BACKLOG_MAX) } as usize;
        let socket = self.stream(object)?;
        let (bound, family) = (socket.bound, socket.spec.family);
        match &mut socket.state {
            StreamState::Listening { backlog: known, .. } => {
                *known = backlog;
                return Ok(());
            }
            StreamState::Idle => {}
            StreamState::Connecting | StreamState::Connected { .. } => return Err(EINVAL),
        }
        if !bound {
            if family == Family::Unix {
                return Err(EINVAL);
            }
            self.bind(object, &Name::any(family))?;
        }
        self.stream(object)?.state = StreamState::Listening { backlog, waiting: VecDeque::new(), shut: false };
        Ok(())
    }

    /// Takes the first connection that waits: its descriptor, and who asked for it.
    pub(super) fn accept(&mut self, object: u32) -> Result<(i32, Name), i32> {
        let StreamState::Listening { waiting, shut, .. } = &mut self.stream(object)?.state else { return Err(EINVAL) };
        let Some(accepted) = waiting.pop_front() else { return Err(if *shut { EINVAL } else { EAGAIN }) };
        let peer = self.peer_name(accepted).unwrap_or(Name::Unnamed);
        Ok((self.name_object(accepted), peer))
    }

    /// The peer's name, if there is one. As on Linux there is none any more of a connection that was reset, or that
    /// both ends have ended.
    pub(super) fn peer_of(&mut self, object: u32) -> Result<Name, i32> {
        match self.is_over(object)? {
            true => Err(ENOTCONN),
            false => self.peer_name(object),
        }
    }

    /// The name of who connected, be it gone or not.
    fn peer_name(&mut self, object: u32) -> Result<Name, i32> {
        match self.body(object)? {
            Body::Stream(StreamSocket { state: StreamState::Connected { connection, side }, .. }) => {
                let (number, side) = (*connection, *side);
                Ok(self.connections.get(&number).ok_or(ENOTCONN)?.ends[1 - side].name.clone())
            }
            Body::Datagram(socket) => socket.peer.clone().ok_or(ENOTCONN),
            Body::Stream(_) => Err(ENOTCONN),
            _ => Err(EBADF),
        }
    }

    pub(super) fn shutdown(&mut self, object: u32, receive: bool, send: bool) -> Result<(), i32> {
        match self.body(object)? {
            Body::Stream(StreamSocket { state: StreamState::Listening { shut, .. }, .. }) if receive => *shut = true,
            Body::Stream(_) => return self.shut_end(object, receive, send),
            Body::Datagram(socket) => socket.shut(receive, send)?,
            _ => return Err(EBADF),
        }
        self.mark(object);
        Ok(())
    }

    pub(super) fn end_stream(&mut self, object: u32, port: u32, socket: StreamSocket, silent: bool) {
        self.unbind(object, port, false, &socket.name);
        match socket.state {
            StreamState::Connected { connection, side } => {
                self.leave_end(connection, side, socket.spec.reset_on_close, silent);
            }
            StreamState::Listening { waiting, .. } => {
                for waiting in waiting {
                    if let Ok(known) = self.stream(waiting) {
                        known.spec.reset_on_close = true;
                    }
                    self.end_object(waiting, silent);
                }
            }
            StreamState::Connecting => {
                let number = self.connections.iter().find(|(_, known)| known.ends[0].object == Some(object));
                if let Some(number) = number.map(|(number, _)| *number) {
                    self.leave_end(number, 0, true, silent);
                }
            }
            StreamState::Idle => {}
        }
    }
}

/// The address of a host, of the same family as `like`.
pub(super) fn address_of(host: u32, like: IpAddr) -> IpAddr {
    let [_, high, middle, low] = (host + 1).to_be_bytes();
    match like {
        IpAddr::V4(_) => IpAddr::from([10, high, middle, low]),
        IpAddr::V6(_) => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, u16::from(high), u16::from_be_bytes([middle, low])]),
    }
}

impl State {
    /// The address by which `host` speaks with `to`.
    pub(super) fn own_address(&self, host: u32, to: IpAddr) -> IpAddr {
        match to {
            IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_loopback() || ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            _ => address_of(host, to),
        }
    }

    /// The host that an address leads to, as `from` sees it.
    pub(super) fn host_at(&self, from: u32, ip: IpAddr) -> Option<u32> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(from);
        }
        (0..self.hosts.len() as u32).find(|&host| address_of(host, ip) == ip)
    }

    /// The socket that takes what comes to an address of a host. Of several that share a port, one is chosen.
    pub(super) fn bound_at(&mut self, host: u32, datagram: bool, to: SocketAddr) -> Option<u32> {
        let range = (datagram, to.port(), 0)..=(datagram, to.port(), u32::MAX);
        let bound = self.hosts[host as usize].ports.range(range).map(|(_, _, object)| *object);
        let takes = |object: &u32| {
            let (spec, name) = match &self.objects.get(object)?.body {
                Body::Stream(socket) => (socket.spec, &socket.name),
                Body::Datagram(socket) => (socket.spec, &socket.name),
                _ => return None,
            };
            let Name::Ip(name) = name else { return None };
            let any = name.ip().is_unspecified() && (name.is_ipv4() == to.is_ipv4() || spec.dual_stack);
            (any || name.ip() == to.ip()).then_some((any, *object))
        };
        let mut all: Vec<(bool, u32)> = bound.filter_map(|object| takes(&object)).collect();
        // The exact address goes before the wildcard.
        let exact = all.iter().any(|(any, _)| !any);
        all.retain(|(any, _)| *any != exact);
        let chosen = self.chance.choose(all.len().max(1));
        all.get(chosen).map(|(_, object)| *object)
    }

    /// Gives a socket a local address.
    pub(super) fn bind(&mut self, object: u32, name: &Name) -> Result<(), i32> {
        let host = self.host_of(object)?;
        let (spec, bound, datagram) = match self.body(object)? {
            Body::Stream(socket) => (socket.spec, socket.bound, false),
            Body::Datagram(socket) => (socket.spec, socket.bound, true),
            _ => return Err(EBADF),
        };
        if bound {
            return Err(EINVAL);
        }
        let taken = match (name, spec.family) {
            (Name::Path(path), Family::Unix) => {
                let now = self.now;
                let known = &mut self.hosts[host as usize];
                if known.unix.contains_key(path) {
                    return Err(EADDRINUSE);
                }
                if path.first() != Some(&0) {
                    let found = known.disk.find(ROOT, path, true)?;
                    if found.node.is_some() {
                        return Err(EADDRINUSE);
                    }
                    let node = known.disk.make(Kind::Socket, 0o755, now);
                    known.disk.change_names(vec![(found.directory, found.name, Some(node))], now);
                }
                known.unix.insert(path.clone(), object);
                name.clone()
            }
            (Name::Ip(address), Family::Ipv4 | Family::Ipv6) => {
                let fits = address.is_ipv4() == (spec.family == Family::Ipv4) || spec.dual_stack;
                let own = self.host_at(host, address.ip()) == Some(host);
                if !fits {
                    return Err(EAFNOSUPPORT);
                } else if !own {
                    return Err(super::errno::EADDRNOTAVAIL);
                }
                let port = self.take_port(host, datagram, *address, spec.reuse_port)?;
                self.hosts[host as usize].ports.insert((datagram, port, object));
                Name::Ip(SocketAddr::new(address.ip(), port))
            }
            _ => return Err(EAFNOSUPPORT),
        };
        match self.body(object)? {
            Body::Stream(socket) => (socket.bound, socket.name) = (true, taken),
            Body::Datagram(socket) => (socket.bound, socket.name) = (true, taken),
            _ => {}
        }
        Ok(())
    }

    /// The port that is asked for, or, for 0, one that is free.
    fn take_port(&mut self, host: u32, datagram: bool, address: SocketAddr, shared: bool) -> Result<u16, i32> {
        if address.port() != 0 {
            let in_use = self.conflicts(host, datagram, address, shared);
            return if in_use { Err(EADDRINUSE) } else { Ok(address.port()) };
        }
        for _ in 0..=u16::MAX - EPHEMERAL {
            let known = &mut self.hosts[host as usize];
            let port = known.next_port;
            known.next_port = if port == u16::MAX { EPHEMERAL } else { port + 1 };
            if !self.conflicts(host, datagram, SocketAddr::new(address.ip(), port), false) {
                return Ok(port);
            }
        }
        Err(EADDRINUSE)
    }

    fn conflicts(&self, host: u32, datagram: bool, wanted: SocketAddr, shared: bool) -> bool {
        let range = (datagram, wanted.port(), 0)..=(datagram, wanted.port(), u32::MAX);
        self.hosts[host as usize].ports.range(range).any(|(_, _, object)| {
            let (name, spec, asks) = match self.objects.get(object).map(|object| &object.body) {
                Some(Body::Stream(socket)) => {
                    let asks = matches!(socket.state, StreamState::Connected { .. } | StreamState::Connecting);
                    (&socket.name, socket.spec, asks)
                }
                Some(Body::Datagram(socket)) => (&socket.name, socket.spec, false),
                _ => return false,
            };
            let Name::Ip(name) = name else { return false };
            let same = name.ip() == wanted.ip() || name.ip().is_unspecified() || wanted.ip().is_unspecified();
            let overlap = same && (name.is_ipv4() == wanted.is_ipv4() || spec.dual_stack);
            overlap && !asks && !(shared && spec.reuse_port)
        })
    }

    pub(super) fn unbind(&mut self, object: u32, port: u32, datagram: bool, name: &Name) {
        let host = self.host_of_port(port) as usize;
        match name {
            Name::Ip(address) => drop(self.hosts[host].ports.remove(&(datagram, address.port(), object))),
            Name::Path(path) if self.hosts[host].unix.get(path) == Some(&object) => {
                self.hosts[host].unix.remove(path);
            }
            _ => {}
        }
    }
}

/// The first port that is given to who asks for any.
pub(super) const EPHEMERAL: u16 = 49_152;
