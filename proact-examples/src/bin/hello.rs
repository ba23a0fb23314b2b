//! README's first example: an HTTP server in twenty lines.

use hyper::{Response, server::conn::http1, service::service_fn};
use proact_async::{Runtime, adapt::Adapted, net::TcpListener, spawn};

fn main() -> proact::status::Result {
    Runtime::new()?.block_on(async {
        let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
        let listener = TcpListener::bind(address.parse()?)?;
        println!("listening on {}", listener.local_address()?);
        loop {
            let (stream, peer) = listener.accept().await?;
            spawn(async move {
                let hello = service_fn(async |_| hyper::Result::Ok(Response::new("Hello, world!\n".to_string())));
                if let Err(error) = http1::Builder::new().serve_connection(Adapted::new(stream), hello).await {
                    eprintln!("{peer}: {error}");
                }
            });
        }
    })
}
