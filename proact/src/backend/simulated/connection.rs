//! Connections: two ends, and what is on its way between them.
//!
//! What was sent arrives whole and in order. A lost packet delays all that is behind it; a peer that cannot be reached
//! for [`PATIENCE`] breaks the connection at who sends. What an end may be sent is bounded by what it keeps unread.

use std::collections::VecDeque;

use super::address::Name;
use super::errno::{EAGAIN, EBADF, ECONNRESET, ENOTCONN, EPIPE, ETIMEDOUT, noted};
use super::link::{PATIENCE, retry_after};
use super::state::{Body, Happening, State};
use super::stream::{StreamSocket, StreamState};

/// Bytes that an end keeps for its reader, unless its socket says otherwise.
pub(super) const CAPACITY: usize = 256 * 1024;
/// The least that a socket may ask for.
pub(super) const CAPACITY_MIN: usize = 2048;

/// Bytes on their way, or the end of the stream.
struct Segment {
    bytes: Vec<u8>,
    is_end: bool,
    arrives: u64,
    sent: u64,
    tries: u32,
    /// However often it is sent, it is lost.
    hopeless: bool,
}

/// One end of a connection.
pub(super) struct End {
    /// Who has it. `None`: nobody any more.
    pub(super) object: Option<u32>,
    pub(super) host: u32,
    pub(super) name: Name,
    capacity: usize,
    unread: VecDeque<u8>,
    travelling: VecDeque<Segment>,
    travelling_bytes: usize,
    /// The peer sends no more, and all of it has come.
    ended: bool,
    /// Told once.
    error: Option<i32>,
    receives_no_more: bool,
    sends_no_more: bool,
    /// Its host has crashed: what is on its way from here arrives or is lost, and nothing is sent again.
    crashed: bool,
    /// It was reset or given up: whoever sends to it is told.
    broken: bool,
    /// A send has found no room at the peer, and waits.
    waits: bool,
}

impl End {
    pub(super) fn new(object: u32, host: u32, name: Name, capacity: usize) -> End {
        End {
            object: Some(object),
            host,
            name,
            capacity: capacity.max(CAPACITY_MIN),
            unread: VecDeque::new(),
            travelling: VecDeque::new(),
            travelling_bytes: 0,
            ended: false,
            error: None,
            receives_no_more: false,
            sends_no_more: false,
            crashed: false,
            broken: false,
            waits: false,
        }
    }

    fn space(&self) -> usize {
        self.capacity.saturating_sub(self.unread.len() + self.travelling_bytes)
    }
}

pub(super) struct Connection {
    pub(super) ends: [End; 2],
    /// Within one host and beside its network: a pair, or by a Unix name.
    pub(super) is_local: bool,
}

impl State {
    pub(super) fn connect_ends(&mut self, ends: [End; 2], is_local: bool) -> u32 {
        let number = self.next_connection;
        self.next_connection += 1;
        self.connections.insert(number, Connection { ends, is_local });
        number
    }

    /// The connection of a stream, and which end it is.
    fn end_of(&mut self, object: u32) -> Result<(u32, usize), i32> {
        match self.body(object)? {
            Body::Stream(socket) => match socket.state {
                StreamState::Connected { connection, side } => Ok((connection, side)),
                _ => Err(ENOTCONN),
            },
            _ => Err(EBADF),
        }
    }

    /// Whether a connection is none any more: it was reset, or each end has sent its last and the other has got it. One
    /// beside the network is known by its ends until they are closed.
    pub(super) fn is_over(&mut self, object: u32) -> Result<bool, i32> {
        let Body::Stream(StreamSocket { state: StreamState::Connected { connection, side }, .. }) =
            self.body(object)?
        else {
            return Ok(false);
        };
        let (number, side) = (*connection, *side);
        let Some(connection) = self.connections.get(&number).filter(|known| !known.is_local) else { return Ok(false) };
        let (end, peer) = (&connection.ends[side], &connection.ends[1 - side]);
        Ok(end.broken || (end.sends_no_more && end.ended && peer.travelling.is_empty()))
    }

    /// How many bytes the peer has room for.
    pub(super) fn sendable(&mut self, object: u32) -> Result<usize, i32> {
        if matches!(self.stream(object)?.state, StreamState::Idle) {
            return Err(EPIPE); // as Linux answers
        }
        let (number, side) = self.end_of(object)?;
        let connection = self.connections.get_mut(&number).ok_or(EBADF)?;
        if let Some(error) = connection.ends[side].error.take() {
            return Err(error);
        }
        let gone = connection.is_local && connection.ends[1 - side].object.is_none();
        if connection.ends[side].sends_no_more || gone {
            return Err(EPIPE);
        }
        let space = connection.ends[1 - side].space();
        connection.ends[side].waits = space == 0;
        if space == 0 {
            self.probe(number, side);
        }
        Ok(space)
    }

    /// Asks a peer that has no room, and cannot be reached, whether it is still there: with a packet of no bytes, which
    /// is tried as long as any other. One that can be reached says by itself when it has room.
    fn probe(&mut self, number: u32, side: usize) {
        let Some(connection) = self.connections.get(&number) else { return };
        let (end, peer) = (&connection.ends[side], &connection.ends[1 - side]);
        let asks = end.waits && !end.sends_no_more && peer.space() == 0 && peer.travelling.is_empty();
        if asks && !connection.is_local && !self.reaches(end.host, peer.host) {
            self.put(number, 1 - side, Vec::new(), false);
        }
    }

    /// Two hosts do not reach each other any more.
    pub(super) fn probe_between(&mut self, one: u32, other: u32) {
        for number in self.numbers_between(one, other) {
            self.probe(number, 0);
            self.probe(number, 1);
        }
    }

    /// Sends what fits of `bytes`: their count.
    pub(super) fn send_stream(&mut self, object: u32, bytes: &[u8]) -> Result<usize, i32> {
        let space = self.sendable(object)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        if space == 0 {
            return Err(EAGAIN);
        }
        let (number, side) = self.end_of(object)?;
        let connection = self.connections.get(&number).ok_or(EBADF)?;
        let (from, to) = (connection.ends[side].host, connection.ends[1 - side].host);
        let count = self.cut_short(from, to, bytes.len().min(space));
        self.put(number, 1 - side, bytes[..count].to_vec(), false);
        Ok(count)
    }

    /// Puts bytes, or the end of the stream, on the way to an end.
    fn put(&mut self, number: u32, to: usize, bytes: Vec<u8>, is_end: bool) {
        let Some(connection) = self.connections.get(&number) else { return };
        let (sender, receiver) = (connection.ends[1 - to].host, connection.ends[to].host);
        let instant =
            connection.is_local || (self.link(sender, receiver).is_instant() && self.reaches(sender, receiver));
        let now = self.now;
        let (mut delay, mut hopeless) = (0, false);
        if !instant {
            delay = self.travel(sender, receiver, bytes.len() + HEADERS);
            let loss = self.link(sender, receiver).loss;
            let (mut tries, mut lost) = (0, 0);
            while !hopeless && self.chance.happens(loss) {
                lost += retry_after(tries);
                tries += 1;
                hopeless = lost >= PATIENCE;
            }
            delay = delay.saturating_add(lost.min(PATIENCE));
        }
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let end = &mut connection.ends[to];
        end.travelling_bytes += bytes.len();
        let first = end.travelling.is_empty();
        let behind = end.travelling.back().map_or(0, |segment| segment.arrives);
        let arrives = now.saturating_add(delay).max(behind);
        end.travelling.push_back(Segment { bytes, is_end, arrives, sent: now, tries: 0, hopeless });
        match (first, arrives > now) {
            (true, false) => self.arrive(number, to),
            (true, true) => self.plan(arrives - now, Happening::Arrive { connection: number, side: to }),
            (false, _) => {}
        }
    }

    /// What has come to an end is there, if it can be reached.
    pub(super) fn arrive(&mut self, number: u32, side: usize) {
        loop {
            let Some(connection) = self.connections.get(&number) else { return };
            let (end, other) = (&connection.ends[side], &connection.ends[1 - side]);
            let Some(segment) = end.travelling.front() else { return };
            let (arrives, sent, tries, hopeless) = (segment.arrives, segment.sent, segment.tries, segment.hopeless);
            let (from, to, is_local) = (other.host, end.host, connection.is_local);
            if arrives > self.now {
                return self.plan(arrives - self.now, Happening::Arrive { connection: number, side });
            }
            if hopeless {
                return self.give_up(number, 1 - side);
            } else if other.crashed {
                // Who sent it is not needed for it to arrive.
                if !self.reaches(to, to) || self.network.is_cut(from, to) {
                    return self.lose_travelling(number, side);
                }
            } else if !is_local && !self.reaches(from, to) {
                if self.now - sent >= PATIENCE {
                    return self.give_up(number, 1 - side);
                }
                let again = self.now + retry_after(tries);
                let Some(connection) = self.connections.get_mut(&number) else { return };
                if let Some(segment) = connection.ends[side].travelling.front_mut() {
                    (segment.arrives, segment.tries) = (again, tries + 1);
                }
                return self.plan(again - self.now, Happening::Arrive { connection: number, side });
            }
            let Some(connection) = self.connections.get_mut(&number) else { return };
            let end = &mut connection.ends[side];
            let Some(segment) = end.travelling.pop_front() else { return };
            end.travelling_bytes -= segment.bytes.len();
            let Some(object) = end.object.filter(|_| !end.broken) else {
                // Nobody has this end: who still sends to it is told.
                if !segment.is_end {
                    self.tell_broken(number, 1 - side);
                }
                continue;
            };
            end.unread.extend(&segment.bytes);
            end.ended |= segment.is_end;
            self.mark(object);
        }
    }

    /// An end has tried for long enough to send what it has.
    fn give_up(&mut self, number: u32, side: usize) {
        self.note("gives up", &[number.into(), side as u64]);
        self.lose_travelling(number, 1 - side);
        self.break_end(number, side, ETIMEDOUT);
    }

    /// What is on its way to an end never arrives.
    fn lose_travelling(&mut self, number: u32, side: usize) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.ends[side].travelling.clear();
        connection.ends[side].travelling_bytes = 0;
    }

    /// Has an end learn, as soon as a packet has come to it, that its peer is gone.
    fn tell_broken(&mut self, number: u32, side: usize) {
        let Some(connection) = self.connections.get(&number) else { return };
        let (from, to) = (connection.ends[1 - side].host, connection.ends[side].host);
        if connection.is_local || (self.link(from, to).is_instant() && self.reaches(from, to)) {
            return self.break_end(number, side, ECONNRESET);
        }
        let delay = self.travel(from, to, HEADERS);
        self.plan(delay, Happening::Break { connection: number, side, error: ECONNRESET });
    }

    /// An end is broken. What came before may still be read.
    pub(super) fn break_end(&mut self, number: u32, side: usize, error: i32) {
        let Some(connection) = self.connections.get(&number) else { return };
        let (end, other) = (&connection.ends[side], &connection.ends[1 - side]);
        let of_peer = error == ECONNRESET && !connection.is_local;
        if of_peer && !self.reaches(other.host, end.host) {
            return; // a packet that is lost, and not sent again
        }
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let end = &mut connection.ends[side];
        let Some(object) = end.object else { return };
        if !(end.sends_no_more && end.ended) {
            end.error = Some(error);
        }
        (end.sends_no_more, end.ended, end.broken) = (true, true, true);
        end.travelling.clear();
        end.travelling_bytes = 0;
        let socket = self.objects.get(&object).map(|object| object.port);
        let why = -noted(-error) as u64;
        self.note("breaks", &[number.into(), side as u64, why, socket.unwrap_or(u32::MAX).into()]);
        self.mark(object);
    }

    /// Takes at most `length` bytes that have come. None: the end.
    pub(super) fn receive_stream(&mut self, object: u32, length: usize) -> Result<Vec<u8>, i32> {
        let (number, side) = self.end_of(object)?;
        let connection = self.connections.get_mut(&number).ok_or(EBADF)?;
        let (host, peer) = (connection.ends[side].host, connection.ends[1 - side].host);
        let end = &mut connection.ends[side];
        if end.unread.is_empty() {
            return match end.error.take() {
                Some(error) => Err(error),
                None if end.ended || end.receives_no_more || length == 0 => Ok(Vec::new()),
                None => Err(EAGAIN),
            };
        }
        let there = length.min(end.unread.len());
        let count = self.cut_short(peer, host, there);
        let connection = self.connections.get_mut(&number).ok_or(EBADF)?;
        let taken = connection.ends[side].unread.drain(..count).collect();
        if let Some(sender) = connection.ends[1 - side].object {
            self.mark(sender);
        }
        Ok(taken)
    }

    /// Ends one direction, or both.
    pub(super) fn shut_end(&mut self, object: u32, receive: bool, send: bool) -> Result<(), i32> {
        let (number, side) = self.end_of(object)?;
        let connection = self.connections.get_mut(&number).ok_or(EBADF)?;
        let end = &mut connection.ends[side];
        let tells = send && !end.sends_no_more;
        end.sends_no_more |= send;
        end.receives_no_more |= receive;
        self.mark(object);
        if tells {
            self.put(number, 1 - side, Vec::new(), true);
        }
        Ok(())
    }

    /// Nobody has an end any more. `silent`: its host is gone, and nobody tells the peer.
    pub(super) fn leave_end(&mut self, number: u32, side: usize, reset: bool, silent: bool) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let end = &mut connection.ends[side];
        end.object = None;
        let breaks = reset || !end.unread.is_empty();
        let ends = !end.sends_no_more;
        if !silent {
            end.unread.clear();
        }
        if connection.ends[1 - side].object.is_none() {
            self.connections.remove(&number);
        } else if silent {
            connection.ends[side].crashed = true;
            // What was lost once is not sent again, and what is behind it has no use.
            let peer = &mut connection.ends[1 - side];
            if peer.travelling.front().is_some_and(|segment| segment.tries > 0) {
                self.lose_travelling(number, 1 - side);
            }
            self.probe(number, 1 - side);
        } else if breaks {
            self.tell_broken(number, 1 - side);
        } else if ends {
            self.put(number, 1 - side, Vec::new(), true);
        }
    }

    /// Breaks every connection between two hosts, at both ends.
    pub(super) fn break_between(&mut self, one: u32, other: u32) {
        for number in self.numbers_between(one, other) {
            self.break_end(number, 0, ECONNRESET);
            self.break_end(number, 1, ECONNRESET);
        }
    }

    fn numbers_between(&self, one: u32, other: u32) -> Vec<u32> {
        let between = |connection: &Connection| {
            let hosts = (connection.ends[0].host, connection.ends[1].host);
            !connection.is_local && (hosts == (one, other) || hosts == (other, one))
        };
        self.connections.iter().filter(|(_, known)| between(known)).map(|(number, _)| *number).collect()
    }
}

/// What stands before the bytes of a packet.
const HEADERS: usize = 60;
