//! What `hyper-util`'s pooling client asks of a connection.

use hyper_util::client::legacy::connect::{Connected, Connection};

use super::{Adapted, Route};

impl<R: Route> Connection for Adapted<R> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Says whether HTTP/2 was agreed on.
#[cfg(feature = "rustls")]
impl<S: super::Buffered + Connection> Connection for crate::tls::TlsStream<S> {
    fn connected(&self) -> Connected {
        let connected = self.get_ref().connected();
        if self.alpn_protocol() == Some(b"h2") { connected.negotiated_h2() } else { connected }
    }
}
