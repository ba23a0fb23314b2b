//! Datagram sockets: each message whole or not at all.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::address::Name;
use super::errno::{
    EAFNOSUPPORT, EAGAIN, EBADF, ECONNREFUSED, EDESTADDRREQ, EINVAL, EMSGSIZE, ENOENT, ENOTCONN, EPIPE,
};
use super::link::nanoseconds;
use super::state::{Body, Happening, State};
use super::stream::address_of;
use crate::backend::{Family, SocketSpec};

/// Bytes that a socket keeps for its reader, unless it says otherwise. What comes beyond is lost, or on a Unix socket
/// waits at its sender.
const CAPACITY: usize = 212_992;
/// Bytes in a UDP datagram at most.
const LENGTH_MAX: usize = 65_507;

pub(super) struct DatagramSocket {
    pub(super) spec: SocketSpec,
    pub(super) name: Name,
    pub(super) bound: bool,
    pub(super) peer: Option<Name>,
    /// The other one of a pair.
    partner: Option<u32>,
    inbox: VecDeque<(Name, Vec<u8>)>,
    unread: usize,
    error: Option<i32>,
    receives_no_more: bool,
    sends_no_more: bool,
    /// Who waits for room in this one.
    waiting: Vec<u32>,
}

/// A datagram on its way.
pub(super) struct Travelling {
    from: Name,
    sender: u32,
    sender_host: u32,
    to: SocketAddr,
    host: u32,
    bytes: Vec<u8>,
}

impl DatagramSocket {
    pub(super) fn new(spec: SocketSpec) -> DatagramSocket {
        DatagramSocket {
            spec,
            name: Name::any(spec.family),
            bound: false,
            peer: None,
            partner: None,
            inbox: VecDeque::new(),
            unread: 0,
            error: None,
            receives_no_more: false,
            sends_no_more: false,
            waiting: Vec::new(),
        }
    }

    pub(super) fn shut(&mut self, receive: bool, send: bool) -> Result<(), i32> {
        if self.peer.is_none() && self.partner.is_none() {
            return Err(ENOTCONN);
        }
        self.receives_no_more |= receive;
        self.sends_no_more |= send;
        Ok(())
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.inbox.is_empty() || self.unread + bytes <= self.spec.receive_buffer.unwrap_or(CAPACITY)
    }
}

impl State {
    fn datagram(&mut self, object: u32) -> Result<&mut DatagramSocket, i32> {
        match self.body(object)? {
            Body::Datagram(socket) => Ok(socket),
            _ => Err(EBADF),
        }
    }

    /// Two sockets that are each other's peer.
    pub(super) fn datagram_pair(&mut self, port: u32) -> (i32, i32) {
        let spec = SocketSpec {
            family: Family::Unix,
            datagram: true,
            reuse_port: false,
            reset_on_close: false,
            dual_stack: false,
            receive_buffer: None,
        };
        let [one, two] = [0, 1].map(|_| self.make_object(port, Body::Datagram(DatagramSocket::new(spec))));
        for (own, other) in [(one, two), (two, one)] {
            if let Ok(socket) = self.datagram(own) {
                (socket.partner, socket.peer) = (Some(other), Some(Name::Unnamed));
            }
        }
        (self.name_object(one), self.name_object(two))
    }

    /// Names whom a socket speaks with.
    pub(super) fn connect_datagram(&mut self, object: u32, to: &Name) -> Result<(), i32> {
        let host = self.host_of(object)?;
        let socket = self.datagram(object)?;
        match (to, socket.spec.family) {
            (Name::Unnamed, _) => socket.peer = None,
            (Name::Path(path), Family::Unix) => {
                if !self.hosts[host as usize].unix.contains_key(path) {
                    return Err(ENOENT);
                }
                self.datagram(object)?.peer = Some(to.clone());
            }
            (Name::Ip(address), Family::Ipv4 | Family::Ipv6) => {
                let here = self.own_address(host, address.ip());
                self.bind_for(object, here)?;
                let socket = self.datagram(object)?;
                if let Name::Ip(name) = &mut socket.name {
                    if name.ip().is_unspecified() {
                        name.set_ip(here);
                    }
                }
                socket.peer = Some(to.clone());
            }
            _ => return Err(EAFNOSUPPORT),
        }
        Ok(())
    }

    /// Gives a socket that has none a port, so that it can be answered.
    fn bind_for(&mut self, object: u32, here: std::net::IpAddr) -> Result<(), i32> {
        if self.datagram(object)?.bound {
            return Ok(());
        }
        let any = match here {
            std::net::IpAddr::V4(_) => Name::any(Family::Ipv4),
            std::net::IpAddr::V6(_) => Name::any(Family::Ipv6),
        };
        self.bind(object, &any)
    }

    pub(super) fn send_datagram(&mut self, object: u32, to: Option<Name>, bytes: &[u8]) -> Result<usize, i32> {
        let host = self.host_of(object)?;
        let socket = self.datagram(object)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        if socket.sends_no_more {
            return Err(EPIPE);
        }
        let (family, partner) = (socket.spec.family, socket.partner);
        let to = match (to, partner) {
            (Some(Name::Unnamed) | None, Some(_)) => Name::Unnamed,
            (Some(Name::Unnamed) | None, None) => socket.peer.clone().ok_or(EDESTADDRREQ)?,
            (Some(to), _) => to,
        };
        match (to, family) {
            (Name::Ip(to), Family::Ipv4 | Family::Ipv6) => self.send_over_network(object, host, to, bytes),
            (Name::Ip(_), Family::Unix) => Err(EINVAL),
            (Name::Path(path), Family::Unix) => {
                let target = *self.hosts[host as usize].unix.get(&path).ok_or(ENOENT)?;
                self.send_locally(object, target, bytes)
            }
            (Name::Unnamed, Family::Unix) => self.send_locally(object, partner.ok_or(EDESTADDRREQ)?, bytes),
            _ => Err(EAFNOSUPPORT),
        }
    }

    fn send_locally(&mut self, object: u32, target: u32, bytes: &[u8]) -> Result<usize, i32> {
        if bytes.len() > CAPACITY {
            return Err(EMSGSIZE);
        }
        let from = self.datagram(object)?.name.clone();
        let receiver = self.datagram(target).map_err(|_| ECONNREFUSED)?;
        if receiver.receives_no_more {
            return Err(EPIPE);
        }
        if !receiver.has_room(bytes.len()) {
            receiver.waiting.push(object);
            return Err(EAGAIN);
        }
        receiver.unread += bytes.len();
        receiver.inbox.push_back((from, bytes.to_vec()));
        self.mark(target);
        Ok(bytes.len())
    }

    fn send_over_network(&mut self, object: u32, host: u32, to: SocketAddr, bytes: &[u8]) -> Result<usize, i32> {
        if bytes.len() > LENGTH_MAX {
            return Err(EMSGSIZE);
        }
        let here = self.own_address(host, to.ip());
        self.bind_for(object, here)?;
        let mut from = self.datagram(object)?.name.clone();
        if let Name::Ip(name) = &mut from {
            if name.ip().is_unspecified() {
                name.set_ip(here);
            }
        }
        // Where no host has the address, nothing hears of it.
        let Some(target) = self.host_at(host, to.ip()) else { return Ok(bytes.len()) };
        let to = if to.ip().is_unspecified() { SocketAddr::new(here, to.port()) } else { to };
        let link = self.link(host, target);
        let copies = 1 + u32::from(self.chance.happens(link.duplication));
        for _ in 0..copies {
            let sender = object;
            let travelling =
                Travelling { from: from.clone(), sender, sender_host: host, to, host: target, bytes: bytes.to_vec() };
            if link.is_instant() && self.reaches(host, target) {
                self.datagram_arrives(travelling);
                continue;
            }
            if self.is_lost(host, target) {
                self.note("loses", &[host.into(), target.into(), bytes.len() as u64]);
                continue;
            }
            let mut delay = self.travel(host, target, bytes.len() + 28);
            if self.chance.happens(link.reordering) {
                let more = nanoseconds(link.latency).saturating_mul(4).saturating_add(1_000_000);
                delay = delay.saturating_add(self.chance.up_to(more));
            }
            self.plan(delay, Happening::Datagram(travelling));
        }
        Ok(bytes.len())
    }

    pub(super) fn datagram_arrives(&mut self, travelling: Travelling) {
        let Travelling { from, sender, sender_host, to, host, bytes } = travelling;
        if !self.reaches(sender_host, host) {
            return;
        }
        let Some(target) = self.bound_at(host, true, to) else {
            if self.link(host, sender_host).is_instant() {
                return self.unwanted(sender, host);
            }
            let delay = self.travel(host, sender_host, 56);
            return self.plan(delay, Happening::Unwanted { sender, from: host });
        };
        let Ok(receiver) = self.datagram(target) else { return };
        let wanted = receiver.peer.as_ref().is_none_or(|peer| *peer == from);
        if !wanted || receiver.receives_no_more || !receiver.has_room(bytes.len()) {
            return;
        }
        receiver.unread += bytes.len();
        receiver.inbox.push_back((from, bytes));
        self.mark(target);
    }

    /// The answer "nobody is there" comes to a sender that named its peer.
    pub(super) fn unwanted(&mut self, sender: u32, from: u32) {
        let Ok(to) = self.host_of(sender) else { return };
        if !self.reaches(from, to) {
            return;
        }
        let Ok(socket) = self.datagram(sender) else { return };
        if socket.peer.is_some() {
            socket.error = Some(ECONNREFUSED);
            self.mark(sender);
        }
    }

    /// Takes the first datagram that has come.
    pub(super) fn receive_datagram(&mut self, object: u32) -> Result<(Name, Vec<u8>), i32> {
        let socket = self.datagram(object)?;
        let Some((from, bytes)) = socket.inbox.pop_front() else {
            return match socket.error.take() {
                Some(error) => Err(error),
                None if socket.receives_no_more => Ok((Name::Unnamed, Vec::new())),
                None => Err(EAGAIN),
            };
        };
        socket.unread -= bytes.len();
        for waiting in std::mem::take(&mut socket.waiting) {
            self.mark(waiting);
        }
        Ok((from, bytes))
    }

    pub(super) fn end_datagram(&mut self, object: u32, port: u32, socket: &DatagramSocket) {
        self.unbind(object, port, true, &socket.name);
        for waiting in &socket.waiting {
            self.mark(*waiting);
        }
        if let Some(partner) = socket.partner {
            self.mark(partner);
        }
    }

    /// The address of a host for who wants to reach it.
    pub(super) fn public_address(host: u32, v6: bool) -> std::net::IpAddr {
        let like = if v6 { Name::any(Family::Ipv6) } else { Name::any(Family::Ipv4) };
        match like {
            Name::Ip(address) => address_of(host, address.ip()),
            _ => unreachable!("the wildcard of IP is an IP address"),
        }
    }
}
