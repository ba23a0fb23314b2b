//! glommio's executor with its defaults: a task a connection.

use std::os::fd::{FromRawFd, IntoRawFd};

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpListener;
use glommio::{LocalExecutorBuilder, Placement};

use super::Answer;
use crate::Failure;

pub fn serve(listener: std::net::TcpListener, answer: Answer) -> Result<(), Failure> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().map_err(|error| error.to_string())?;
    executor.run(async move {
        // SAFETY: the descriptor is a listener's, and given up by its owner in the same breath.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        loop {
            let mut stream = listener.accept().await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            glommio::spawn_local(async move {
                let mut buffer = vec![0; answer.buffer()];
                loop {
                    let Ok(received @ 1..) = stream.read(&mut buffer).await else { return };
                    let length = answer.fill(&mut buffer, received);
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
            })
            .detach();
        }
    })
}
