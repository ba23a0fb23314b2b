//! Asking for a connection: the request on its way, its answer, and what becomes of both when it is called off.
//!
//! A socket may ask again after its connect was called off. So what is on its way carries which time of asking it
//! belongs to: whatever belongs to an earlier one is nobody's.

use std::net::{IpAddr, SocketAddr};

use super::address::Name;
use super::connection::{CAPACITY, End};
use super::disk::ROOT;
use super::errno::{EAFNOSUPPORT, EAGAIN, EALREADY, EBADF, ECONNREFUSED, EISCONN, ENOTCONN, ETIMEDOUT};
use super::link::{PATIENCE, retry_after};
use super::state::{Body, Happening, State};
use super::stream::{StreamSocket, StreamState};
use crate::backend::Family;

/// A request for a connection on its way.
pub(super) struct Knock {
    object: u32,
    /// Which time its socket asks.
    time: u32,
    to: SocketAddr,
    sent: u64,
    tries: u32,
}

/// The answer to it, from a host.
pub(super) struct Reply {
    knock: Knock,
    from: u32,
    error: i32,
}

impl State {
    /// Asks for a connection. How it ends is told by [`State::connecting`].
    pub(super) fn connect(&mut self, object: u32, to: &Name) -> Result<(), i32> {
        let socket = self.stream(object)?;
        match socket.state {
            StreamState::Idle => {}
            StreamState::Connecting => return Err(EALREADY),
            StreamState::Connected { .. } | StreamState::Listening { .. } => return Err(EISCONN),
        }
        let (family, bound, dual) = (socket.spec.family, socket.bound, socket.spec.dual_stack);
        match (family, to) {
            (Family::Unix, Name::Path(path)) => self.connect_local(object, path),
            (Family::Ipv4 | Family::Ipv6, Name::Ip(to)) => {
                let fits = to.is_ipv4() == (family == Family::Ipv4) || (dual && to.is_ipv4());
                if !fits {
                    return Err(EAFNOSUPPORT);
                }
                let from = self.host_of(object)?;
                let here = self.own_address(from, to.ip());
                if !bound {
                    self.bind(object, &Name::Ip(SocketAddr::new(here, 0)))?;
                } else if let Name::Ip(name) = &mut self.stream(object)?.name {
                    if name.ip().is_unspecified() {
                        name.set_ip(here);
                    }
                }
                let asking = self.stream(object)?;
                asking.state = StreamState::Connecting;
                asking.asked += 1;
                let time = asking.asked;
                let to = if to.ip().is_unspecified() { SocketAddr::new(here, to.port()) } else { *to };
                let knock = Knock { object, time, to, sent: self.now, tries: 0 };
                self.send_knock(from, knock);
                Ok(())
            }
            _ => Err(EAFNOSUPPORT),
        }
    }

    fn connect_local(&mut self, object: u32, path: &[u8]) -> Result<(), i32> {
        let host = self.host_of(object)?;
        let known = &mut self.hosts[host as usize];
        if path.first() != Some(&0) {
            known.disk.existing(ROOT, path, true)?;
        }
        let listener = *known.unix.get(path).ok_or(ECONNREFUSED)?;
        match self.body(listener)? {
            Body::Stream(StreamSocket { state: StreamState::Listening { backlog, waiting, shut: false }, .. }) => {
                if waiting.len() >= *backlog {
                    return Err(EAGAIN);
                }
            }
            _ => return Err(ECONNREFUSED),
        }
        self.admit(object, listener, Name::Path(path.to_vec()), true)?;
        self.mark(object);
        Ok(())
    }

    /// Makes the connection that `object` asked `listener` for, whose end is called `name`.
    fn admit(&mut self, object: u32, listener: u32, name: Name, is_local: bool) -> Result<u32, i32> {
        let spec = self.stream(listener)?.spec;
        let port = self.objects.get(&listener).ok_or(EBADF)?.port;
        let (here, there) = (self.host_of(object)?, self.host_of(listener)?);
        let accepted = self.make_object(port, Body::Stream(StreamSocket::connected(spec, name.clone())));
        let asking = self.stream(object)?;
        let (mut own_name, own_room) = (asking.name.clone(), asking.spec.receive_buffer.unwrap_or(CAPACITY));
        if let (Name::Ip(SocketAddr::V4(from)), Family::Ipv6) = (&own_name, spec.family) {
            own_name = Name::Ip(SocketAddr::new(IpAddr::V6(from.ip().to_ipv6_mapped()), from.port()));
        }
        let ends = [
            End::new(object, here, own_name, own_room),
            End::new(accepted, there, name, spec.receive_buffer.unwrap_or(CAPACITY)),
        ];
        let number = self.connect_ends(ends, is_local);
        self.stream(accepted)?.state = StreamState::Connected { connection: number, side: 1 };
        if is_local {
            self.stream(object)?.state = StreamState::Connected { connection: number, side: 0 };
        }
        if let StreamState::Listening { waiting, .. } = &mut self.stream(listener)?.state {
            waiting.push_back(accepted);
        }
        self.note("connects", &[object.into(), listener.into(), number.into()]);
        self.mark(listener);
        Ok(number)
    }

    fn send_knock(&mut self, from: u32, knock: Knock) {
        match self.host_at(from, knock.to.ip()) {
            Some(to) if self.link(from, to).is_instant() && self.reaches(from, to) => self.knock(knock),
            Some(to) => {
                let delay = self.travel(from, to, 60);
                self.plan(delay, Happening::Knock(knock));
            }
            None => self.plan(retry_after(0), Happening::Knock(knock)),
        }
    }

    /// A request for a connection arrives, or is lost.
    pub(super) fn knock(&mut self, mut knock: Knock) {
        let object = knock.object;
        let Ok(from) = self.host_of(object) else { return };
        if !self.still_asks(&knock) {
            return; // called off since
        }
        let to = self.host_at(from, knock.to.ip());
        let arrives = to.is_some_and(|to| !self.is_lost(from, to));
        let listener = to.filter(|_| arrives).map(|to| self.bound_at(to, false, knock.to));
        let full = |state: &StreamState| match state {
            StreamState::Listening { backlog, waiting, shut } => Some(waiting.len() >= *backlog && !shut),
            _ => None,
        };
        let answer = match listener {
            Some(Some(listener)) => match self.stream(listener).ok().and_then(|socket| full(&socket.state)) {
                Some(false) => {
                    self.admit(object, listener, Name::Ip(knock.to), false).map_or_else(|error| error, |_| 0)
                }
                Some(true) => -1,
                None => ECONNREFUSED,
            },
            Some(None) => ECONNREFUSED,
            None => -1,
        };
        let (Some(to), 0..) = (to, answer) else {
            if self.now - knock.sent >= PATIENCE {
                return self.answered(object, ETIMEDOUT);
            }
            let again = retry_after(knock.tries);
            knock.tries += 1;
            return self.plan(again, Happening::Knock(knock));
        };
        if self.link(from, to).is_instant() {
            return self.answered(object, answer);
        }
        let delay = self.travel(to, from, 60);
        let tries = 0;
        self.plan(delay, Happening::Reply(Reply { knock: Knock { tries, ..knock }, from: to, error: answer }));
    }

    /// Whether a socket still waits for what it asked for with this.
    fn still_asks(&mut self, knock: &Knock) -> bool {
        let asking = self.stream(knock.object);
        asking.is_ok_and(|asking| matches!(asking.state, StreamState::Connecting) && asking.asked == knock.time)
    }

    /// An answer arrives, unless the link has been cut meanwhile: then it is asked for again.
    pub(super) fn reply(&mut self, mut reply: Reply) {
        let object = reply.knock.object;
        let Ok(to) = self.host_of(object) else { return };
        if !self.still_asks(&reply.knock) {
            return;
        }
        if !self.network.is_cut(reply.from, to) {
            return self.answered(object, reply.error);
        }
        if self.now - reply.knock.sent >= PATIENCE {
            return self.answered(object, ETIMEDOUT);
        }
        let again = retry_after(reply.knock.tries);
        reply.knock.tries += 1;
        self.plan(again, Happening::Reply(reply));
    }

    /// Who asked for a connection has it, or hears why not.
    fn answered(&mut self, object: u32, error: i32) {
        let number = self.connections.iter().find(|(_, known)| known.ends[0].object == Some(object));
        let number = number.map(|(number, _)| *number);
        let Ok(socket) = self.stream(object) else { return };
        if !matches!(socket.state, StreamState::Connecting) {
            return;
        }
        match (error, number) {
            (0, Some(connection)) => socket.state = StreamState::Connected { connection, side: 0 },
            (0, None) => return,
            _ => {
                socket.state = StreamState::Idle;
                socket.error = Some(error);
            }
        }
        self.mark(object);
    }

    /// How a connection that was asked for stands: `EAGAIN` while nothing has been heard.
    pub(super) fn connecting(&mut self, object: u32) -> Result<(), i32> {
        let socket = self.stream(object)?;
        match socket.state {
            StreamState::Connected { .. } => Ok(()),
            StreamState::Connecting => Err(EAGAIN),
            _ => Err(socket.error.take().unwrap_or(ENOTCONN)),
        }
    }

    /// A connect that was cancelled: the socket may try again.
    pub(super) fn stop_connecting(&mut self, object: u32) {
        let number = self.connections.iter().find(|(_, known)| known.ends[0].object == Some(object));
        let number = number.map(|(number, _)| *number);
        let Ok(socket) = self.stream(object) else { return };
        if matches!(socket.state, StreamState::Connecting) {
            socket.state = StreamState::Idle;
            if let Some(number) = number {
                self.leave_end(number, 0, true, false);
            }
        }
    }
}
