//! monoio on its ring: a task a connection.

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

use super::Answer;
use crate::Failure;

async fn connection(mut stream: TcpStream, answer: Answer) {
    let mut buffer = vec![0; answer.buffer()];
    loop {
        let (Ok(received @ 1..), mut filled) = stream.read(buffer).await else { return };
        if answer == Answer::Sink {
            // It has cut the vector to what came, and reads into its capacity.
            buffer = filled;
            continue;
        }
        filled.resize(answer.buffer(), 0);
        let length = answer.fill(&mut filled, received);
        if length == 0 {
            buffer = filled;
            continue;
        }
        let (Ok(_), slice) = stream.write_all(filled.slice(..length)).await else { return };
        buffer = slice.into_inner();
    }
}

pub fn serve(listener: std::net::TcpListener, answer: Answer) -> Result<(), Failure> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(1024).build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            monoio::spawn(connection(stream, answer));
        }
    })
}
