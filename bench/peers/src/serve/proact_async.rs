//! proact-async: a task a connection.

use proact_async::Runtime;
use proact_async::net::{TcpListener, TcpStream};

use super::Answer;
use crate::Failure;

async fn connection(stream: TcpStream, answer: Answer) {
    let mut buffer = vec![0; answer.buffer()];
    loop {
        let (Ok(received @ 1..), mut filled) = stream.read(buffer).await else { return };
        let length = answer.fill(&mut filled, received);
        if length == 0 {
            buffer = filled;
            continue;
        }
        filled.truncate(length);
        let (Ok(_), mut sent) = stream.write_all(filled).await else { return };
        sent.resize(answer.buffer(), 0);
        buffer = sent;
    }
}

pub fn serve(listener: std::net::TcpListener, answer: Answer, backend: &str) -> Result<(), Failure> {
    let builder = proact::proactor::Builder::new().backend(backend.parse()?).operations(200_000);
    let runtime = Runtime::builder().proactor(builder).build()?;
    let socket = runtime.handle().import_socket(listener.into()).map_err(|returned| returned.status)?;
    let listener = TcpListener::from_socket(socket);
    runtime.block_on(async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.socket().set_no_delay(true)?;
            proact_async::spawn(connection(stream, answer));
        }
    })
}
