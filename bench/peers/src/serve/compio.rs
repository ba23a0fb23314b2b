//! compio's runtime with its defaults: a task a connection.

use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};

use super::Answer;
use crate::Failure;

async fn connection(mut stream: TcpStream, answer: Answer) {
    let mut buffer = Vec::with_capacity(answer.buffer());
    loop {
        buffer.clear();
        let BufResult(Ok(received @ 1..), mut filled) = stream.read(buffer).await else { return };
        if answer == Answer::Sink {
            buffer = filled;
            continue;
        }
        filled.resize(answer.buffer(), 0);
        let length = answer.fill(&mut filled, received);
        let BufResult(Ok(()), slice) = stream.write_all(filled.slice(..length)).await else { return };
        buffer = slice.into_inner();
    }
}

pub fn serve(listener: std::net::TcpListener, answer: Answer) -> Result<(), Failure> {
    compio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            compio::runtime::spawn(connection(stream, answer)).detach();
        }
    })
}
