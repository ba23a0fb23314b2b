//! A TCP proxy whose bytes never come into this process.
//!
//! Each direction of a connection has a pipe, which [`splice_both`] sees to. One splice moves what is there from a
//! socket into the pipe, the next one from the pipe to the other socket: the kernel hands its pages over, and nothing
//! is copied here.
//!
//! - **Back-pressure** is the pipe: of one direction no more is taken than it holds, 64 KiB as a rule, until the other
//!   side has taken that.
//! - **Half-close** goes through: when one side has said its last, the other is told so, and may still answer.
//! - **Failure** of one direction ends both: dropping the other's future cancels the splice that it waits for.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use proact::operation::Connect;
use proact::resource::{Address, Domain, SocketOptions};
use proact::status::Result;
use proact_async::net::{TcpStream, splice_both};
use proact_async::runtime::with_handle;
use proact_async::{Stop, operation, time};
use proact_examples::{Limits, serve};

/// Hands every connection on to another address
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7000")]
    listen: Address,
    /// Where to connect to for each connection
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    #[command(flatten)]
    limits: Limits,
}

/// How long a connection to the other address may take.
const CONNECT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let options = Options::parse();
    proact_examples::run(async move {
        let to = options.to;
        serve(options.listen, &options.limits, &Stop::new(), |near, peer| {
            let to = to.clone();
            async move {
                match proxy(&near, to).await {
                    Ok((sent, answered)) => println!("{peer}: {sent} bytes, answered by {answered}"),
                    Err(status) => eprintln!("{peer}: {status}"),
                }
            }
        })
        .await?;
        Ok(())
    })
}

/// Both directions, until both have ended. Yields how many bytes went each way.
async fn proxy(near: &TcpStream, to: Address) -> Result<(u64, u64)> {
    let far = connect(to).await?;
    splice_both(near.socket(), far.socket()).await
}

/// Connects, within its time. A single operation needs no second timer for that.
async fn connect(to: Address) -> Result<TcpStream> {
    let socket = with_handle(|handle| handle.socket(Domain::of(&to), &SocketOptions::default()))?;
    let deadline = time::now() + CONNECT;
    let (_, outcome) = operation(Connect::new(socket.clone(), to)).deadline(deadline).await;
    outcome.result.map(|()| TcpStream::from_socket(socket))
}
