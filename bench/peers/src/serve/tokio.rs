//! tokio's current-thread runtime: a task a connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Answer;
use crate::Failure;

pub fn serve(listener: std::net::TcpListener, answer: Answer) -> Result<(), Failure> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut buffer = vec![0; answer.buffer()];
                loop {
                    let Ok(received @ 1..) = stream.read(&mut buffer).await else { return };
                    let length = answer.fill(&mut buffer, received);
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}
