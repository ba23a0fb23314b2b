//! Connecting to names: several addresses, the next when one lets wait (RFC 8305, "happy eyeballs").

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use proact::operation::Connect;
use proact::resource::{Address, Domain, Socket, SocketOptions};
use proact::status::{Code, Result, Status};
use proact::time::Time;

use super::resolve::{Resolve, SystemResolver, literal};
use super::tcp::TcpStream;
use crate::runtime::{Operation, now, operation, with_handle};
use crate::time::{Sleep, sleep, timeout_at};

/// Connects to a name or to whichever of several addresses answers first.
///
/// Addresses are tried in the resolver's order, with its families by turns, so that a family that does not work costs
/// little. Each has 250 ms before the next is tried beside it, and the next comes at once when one fails. The first
/// that connects is taken; the others are given up and their sockets closed.
///
/// ```
/// use std::time::Duration;
///
/// use proact_async::net::{Connector, TcpListener};
///
/// # fn main() -> proact::status::Result {
/// proact_async::Runtime::new()?.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
///     let port = listener.local_address()?.port().unwrap();
///     let connector = Connector::new().time_limit(Duration::from_secs(10));
///     let stream = connector.connect("localhost", port).await?;
///     assert_eq!(stream.peer_address()?, listener.local_address()?);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connector<R = SystemResolver> {
    resolver: R,
    options: SocketOptions,
    attempt_delay: Duration,
    time_limit: Option<Duration>,
}

/// RFC 8305, section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

impl Connector {
    /// With the system's resolver.
    pub fn new() -> Connector {
        Connector::with_resolver(SystemResolver::shared())
    }
}

impl Default for Connector {
    fn default() -> Connector {
        Connector::new()
    }
}

impl<R: Resolve> Connector<R> {
    /// With a resolver of one's own.
    pub fn with_resolver(resolver: R) -> Connector<R> {
        let options = SocketOptions::default();
        Connector { resolver, options, attempt_delay: ATTEMPT_DELAY, time_limit: None }
    }

    /// Options of the sockets that it makes.
    #[must_use]
    pub fn options(mut self, options: SocketOptions) -> Connector<R> {
        self.options = options;
        self
    }

    /// How long an address has before the next is tried beside it; 250 ms if it is not said. RFC 8305 wants from 100 ms
    /// to 2 s.
    #[must_use]
    pub fn attempt_delay(mut self, delay: Duration) -> Connector<R> {
        self.attempt_delay = delay;
        self
    }

    /// How long all of it may take, the lookup too. Not said, the system's own patience with each address.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Connector<R> {
        self.time_limit = Some(limit);
        self
    }

    /// Connects to `host`, a name or an address, IPv6 with or without brackets.
    ///
    /// # Errors
    /// The resolver's; `NotFound` when it knows no address; of the connecting one that names every address with why it
    /// was not to be had, whose code is theirs when they agree, and `Unavailable` otherwise; `DeadlineExceeded` when
    /// the time was over before the lookup.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream> {
        let about = |status: Status| status.with_context(format!("{host}:{port}"));
        let deadline = self.deadline();
        let addresses = match (literal(host, port), deadline) {
            (Some(address), _) => vec![address?],
            (None, None) => self.resolver.resolve(host, port).await?,
            (None, Some(deadline)) => match timeout_at(deadline, self.resolver.resolve(host, port)).await {
                Ok(found) => found?,
                Err(over) => {
                    let late = Status::new(Code::DeadlineExceeded, proact::status::Operation::SocketConnect);
                    return Err(about(late.with_message(format!("no address of it is known yet: {over}"))));
                }
            },
        };
        Race::new(&addresses, self, deadline).await.map_err(about)
    }

    /// Connects to whichever of `addresses` answers first.
    ///
    /// # Errors
    /// As for [`Connector::connect`].
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect_any(&self, addresses: &[SocketAddr]) -> Result<TcpStream> {
        Race::new(addresses, self, self.deadline()).await
    }

    fn deadline(&self) -> Option<Time> {
        self.time_limit.map(|limit| now() + limit)
    }
}

/// The addresses with their families by turns, beginning with the first one's, each once.
fn by_turns(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let begins_with_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let of = |v4: bool| addresses.iter().filter(move |address| address.is_ipv4() == v4);
    let (mut one, mut other) = (of(begins_with_v4), of(!begins_with_v4));
    let mut order = VecDeque::with_capacity(addresses.len());
    loop {
        let (next, after) = (one.next(), other.next());
        if next.is_none() && after.is_none() {
            return order;
        }
        for &address in next.into_iter().chain(after) {
            if !order.contains(&address) {
                order.push_back(address);
            }
        }
    }
}

/// Addresses that are tried beside each other.
struct Race {
    waiting: VecDeque<SocketAddr>,
    running: Vec<Attempt>,
    failed: Vec<(SocketAddr, Status)>,
    options: SocketOptions,
    delay: Duration,
    /// When the next is tried; at once, if there is none.
    next: Option<Sleep>,
    deadline: Option<Time>,
}

struct Attempt {
    address: SocketAddr,
    socket: Socket,
    connect: Operation<Connect>,
}

impl Race {
    fn new<R>(addresses: &[SocketAddr], connector: &Connector<R>, deadline: Option<Time>) -> Race {
        let (options, delay) = (connector.options, connector.attempt_delay);
        let (running, failed) = (Vec::new(), Vec::new());
        Race { waiting: by_turns(addresses), running, failed, options, delay, next: None, deadline }
    }

    /// Looks at those that run. Answers the first that has connected.
    fn look(&mut self, cx: &mut Context<'_>) -> Option<Socket> {
        let mut at = 0;
        while let Some(attempt) = self.running.get_mut(at) {
            let Poll::Ready((_, outcome)) = Pin::new(&mut attempt.connect).poll(cx) else {
                at += 1;
                continue;
            };
            let attempt = self.running.remove(at);
            match outcome.result {
                Ok(()) => return Some(attempt.socket),
                Err(status) => self.fail(attempt.address, status),
            }
        }
        None
    }

    fn fail(&mut self, address: SocketAddr, status: Status) {
        self.failed.push((address, status));
        self.next = None;
    }

    /// Begins with the next.
    fn start(&mut self, address: SocketAddr) {
        let address_of = Address::from(address);
        if self.deadline.is_some_and(|deadline| now() >= deadline) {
            let late = Status::new(Code::DeadlineExceeded, proact::status::Operation::SocketConnect);
            return self.fail(address, late.with_context(format!("to {address}")).with_message("not tried in time"));
        }
        match with_handle(|handle| handle.socket(Domain::of(&address_of), &self.options)) {
            Ok(socket) => {
                let mut connect = operation(Connect::new(socket.clone(), address_of));
                if let Some(deadline) = self.deadline {
                    connect = connect.deadline(deadline);
                }
                self.running.push(Attempt { address, socket, connect });
                self.next = Some(sleep(self.delay));
            }
            Err(status) => self.fail(address, status.with_context(format!("for {address}"))),
        }
    }

    /// Why none of them has connected.
    fn failure(&mut self) -> Status {
        let operation = proact::status::Operation::SocketConnect;
        let failed = std::mem::take(&mut self.failed);
        let Some((_, first)) = failed.first() else {
            return Status::new(Code::NotFound, operation).with_message("there is no address");
        };
        let code = if failed.iter().all(|(_, status)| status.code() == first.code()) {
            first.code()
        } else {
            Code::Unavailable
        };
        let each: Vec<String> = failed.into_iter().map(|(address, status)| named(address, status)).collect();
        Status::new(code, operation).with_message(each.join("; "))
    }
}

/// The failure's text, with its address: not every failure has it.
fn named(address: SocketAddr, status: Status) -> String {
    let text = status.to_string();
    if text.contains(&address.to_string()) {
        return text;
    }
    status.with_context(format!("to {address}")).to_string()
}

impl Future for Race {
    type Output = Result<TcpStream>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<TcpStream>> {
        let this = &mut *self;
        loop {
            if let Some(socket) = this.look(cx) {
                // What still runs is given up with this.
                this.running.clear();
                return Poll::Ready(Ok(TcpStream::from_socket(socket)));
            }
            // A scope's end is everybody's.
            if let Some((_, status)) = this.failed.iter().find(|(_, status)| status.is_cancelled()) {
                return Poll::Ready(Err(status.clone()));
            }
            if this.waiting.is_empty() {
                return if this.running.is_empty() { Poll::Ready(Err(this.failure())) } else { Poll::Pending };
            }
            if this.next.as_mut().is_some_and(|next| Pin::new(next).poll(cx).is_pending()) {
                return Poll::Pending;
            }
            if let Some(address) = this.waiting.pop_front() {
                this.start(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_in_the_resolvers_order() {
        let addresses =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let mixed = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "[::1]:1", "1.0.0.2:1"]);
        let wanted = addresses(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]);
        assert_eq!(Vec::from(by_turns(&mixed)), wanted);
        let fourth_first = addresses(&["1.0.0.1:1", "1.0.0.2:1", "[::1]:1"]);
        assert_eq!(Vec::from(by_turns(&fourth_first)), addresses(&["1.0.0.1:1", "[::1]:1", "1.0.0.2:1"]));
        assert!(by_turns(&[]).is_empty());
    }
}
