//! A WebSocket server that sends every message back.
//!
//! `tungstenite` asks for a stream of tokio's traits and for no runtime: an `Adapted` connection is one. Nothing is
//! read while a message is being sent, so a client that does not read is not read from.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use proact::resource::Address;
use proact_async::adapt::Adapted;
use proact_async::net::TcpStream;
use proact_async::{Stop, time};
use proact_examples::{HttpFailure, Limits, serve, until_stopped};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};

/// A WebSocket server that sends every message back
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    listen: Address,
    #[command(flatten)]
    limits: Limits,
}

/// How long a client may take to say that it is one.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes of a message at most.
const MESSAGE_MAX: usize = 16 << 20;

fn main() -> ExitCode {
    let options = Options::parse();
    proact_examples::run(async move {
        let stop = Stop::new();
        serve(options.listen, &options.limits, &stop, |stream, peer| {
            let stop = stop.clone();
            async move {
                if let Err(failure) = echo(stream, &stop).await {
                    eprintln!("{peer}: {failure}");
                }
            }
        })
        .await?;
        Ok(())
    })
}

async fn echo(stream: TcpStream, stop: &Stop) -> Result<(), HttpFailure> {
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let opening = pin!(accept_async_with_config(Adapted::new(stream), Some(config)));
    let mut socket = time::timeout(HANDSHAKE, opening).await??;
    while let Some(message) = until_stopped(stop, socket.next()).await {
        match message.transpose()? {
            Some(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).await?,
            // Pings and closes are answered by the protocol itself.
            Some(_) => {}
            None => return Ok(()),
        }
    }
    socket.close(Some(CloseFrame { code: CloseCode::Away, reason: "the server stops".into() })).await?;
    // The client's answer, and what it sent before that.
    while let Some(message) = socket.next().await {
        message?;
    }
    Ok(())
}
