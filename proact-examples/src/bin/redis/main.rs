//! A server of Redis's protocol: strings that expire, in memory, on one thread.
//!
//! What to look at:
//!
//! - **An idle connection holds no buffer.** It receives into a pool's, taken by the kernel when something comes, and
//!   requests are understood where they lie. Only one that is not whole yet is copied.
//! - **A pipeline is answered by one write**: the replies to all that came at once.
//! - **Back-pressure**: nothing is received while replies are being sent, so who does not read them is not read from;
//!   and with no buffer left in the pool, receives wait.
//! - **No locks**: every task runs on this thread, and nothing is awaited while the database is borrowed.

mod command;
mod resp;
mod store;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use proact::memory::{Allocation, BufferPool, Slab};
use proact::operation::ReceivePooled;
use proact::resource::Address;
use proact::status::Result;
use proact_async::net::TcpStream;
use proact_async::{Stop, operation, spawn, time};
use proact_examples::{Limits, serve, until_stopped};

use self::command::{Database, Next};

/// A server of Redis's protocol, in memory
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6379")]
    listen: Address,
    #[command(flatten)]
    limits: Limits,
}

/// Bytes that are received at once, and how many connections may be at that.
const BUFFER: (usize, u32) = (16 << 10, 256);
/// Replies are sent when there are so many bytes of them, also before the end of a pipeline.
const REPLIES_MAX: usize = 256 << 10;

struct Server {
    database: RefCell<Database>,
    pool: BufferPool,
    stop: Stop,
}

fn main() -> ExitCode {
    let options = Options::parse();
    proact_examples::run(async move {
        let pool = BufferPool::new(Slab::allocate(BUFFER.0, BUFFER.1, &Allocation::new())?)?;
        let server = Rc::new(Server { database: RefCell::default(), pool, stop: Stop::new() });
        spawn(forget(server.clone()));
        let stop = server.stop.clone();
        serve(options.listen, &options.limits, &stop, |stream, peer| {
            let server = server.clone();
            async move {
                server.database.borrow_mut().clients += 1;
                if let Err(status) = server.connection(&stream).await {
                    eprintln!("{peer}: {status}");
                }
                server.database.borrow_mut().clients -= 1;
            }
        })
        .await?;
        Ok(())
    })
}

/// Frees what is over, also when nobody asks for anything.
async fn forget(server: Rc<Server>) {
    let mut ticks = time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        server.database.borrow_mut().store.forget(time::now());
    }
}

impl Server {
    /// One connection, until its client has gone or the server stops.
    async fn connection(&self, stream: &TcpStream) -> Result {
        // What is not understood yet, and replies that are not sent yet.
        let (mut input, mut output) = (Vec::new(), Vec::new());
        let mut next = Next::Go;
        while next == Next::Go {
            let receive = operation(ReceivePooled::new(stream.socket().clone(), &self.pool));
            let Some((_, received)) = until_stopped(&self.stop, receive).await else { break };
            let Some(lease) = received.result? else { break };
            if input.is_empty() {
                let mut rest = &lease[..];
                next = self.answer(&mut rest, &mut output, stream).await?;
                input.extend_from_slice(rest);
            } else {
                input.extend_from_slice(&lease);
                drop(lease); // a long request must not hold the pool's buffers
                let mut rest = input.as_slice();
                next = self.answer(&mut rest, &mut output, stream).await?;
                let understood = input.len() - rest.len();
                input.drain(..understood);
            }
            send(stream, &mut output).await?;
        }
        Ok(())
    }

    /// Carries out the whole requests at the front of `input`, and leaves what is no whole one.
    async fn answer(&self, input: &mut &[u8], output: &mut Vec<u8>, stream: &TcpStream) -> Result<Next> {
        loop {
            match resp::parse(input) {
                Ok(None) => return Ok(Next::Go),
                Ok(Some((request, length))) => {
                    *input = &input[length..];
                    let next = self.database.borrow_mut().carry_out(&request, time::now(), output);
                    if next == Next::Quit {
                        return Ok(next);
                    }
                }
                Err(malformed) => {
                    resp::simple(output, '-', &format!("ERR Protocol error: {}", malformed.0));
                    return Ok(Next::Quit);
                }
            }
            if output.len() >= REPLIES_MAX {
                send(stream, output).await?;
            }
        }
    }
}

/// Sends the replies. The buffer moves into the operation and comes back, to be filled again.
async fn send(stream: &TcpStream, output: &mut Vec<u8>) -> Result {
    if output.is_empty() {
        return Ok(());
    }
    let (sent, mut buffer) = stream.write_all(std::mem::take(output)).await;
    buffer.clear();
    if buffer.capacity() <= REPLIES_MAX * 2 {
        *output = buffer;
    }
    sent.map(drop)
}
