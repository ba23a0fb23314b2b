//! TLS by rustls, client and server (feature `rustls`).
//!
//! A [`Connector`] or an [`Acceptor`] makes a [`TlsStream`] of any [`Buffered`] stream, and the result is one again: so
//! it goes under the traits of `futures-io`, tokio and hyper as an [`Adapted`](crate::adapt::Adapted) does.
//!
//! Configurations are rustls's own: versions, certificates, client authentication, ALPN, session resumption. The
//! feature brings rustls with its `ring` provider; a configuration that names another one is as good.
//!
//! **The end.** A peer that ends its half says so inside of the encryption. Where that is missing the connection was
//! cut off, by whoever, and the read fails with `UnexpectedEof`. [`Buffered::poll_shutdown`] says it and ends this
//! half; the other can still be read.
//!
//! **Copies.** Received bytes are copied into rustls's buffer, decrypted in place there, and copied once more into the
//! plaintext that [`Buffered::poll_fill`] shows; a read by a borrowed buffer is a third. Written bytes are encrypted
//! into rustls's records, and these are copied into what is sent.
//!
//! ```
//! use std::sync::Arc;
//!
//! use proact_async::adapt::Adapted;
//! use proact_async::net::TcpStream;
//! use proact_async::tls::{Connector, TlsStream};
//! use rustls::{ClientConfig, RootCertStore};
//!
//! async fn connect(stream: TcpStream, roots: RootCertStore) -> std::io::Result<TlsStream<Adapted>> {
//!     let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
//!     let name = "example.org".try_into().expect("a name");
//!     Connector::new(Arc::new(config)).connect(name, Adapted::new(stream)).await
//! }
//! ```

mod stream;

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

pub use self::stream::TlsStream;
use crate::adapt::Buffered;

/// Opens TLS sessions as the client. A clone shares the configuration, and with it what sessions are resumed by.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
}

impl Connector {
    /// With this configuration.
    pub fn new(config: Arc<ClientConfig>) -> Connector {
        Connector { config }
    }

    /// Opens a session with the server that `name` names, over a connection to it. Dropping the future drops the
    /// connection.
    ///
    /// # Errors
    /// `InvalidData` with the `rustls::Error` inside, `UnexpectedEof` when the peer goes away, or the connection's
    /// failure.
    pub async fn connect<S: Buffered>(&self, name: ServerName<'static>, stream: S) -> io::Result<TlsStream<S>> {
        let connection = ClientConnection::new(self.config.clone(), name).map_err(invalid)?;
        TlsStream::open(stream, Connection::Client(connection)).await
    }
}

/// Opens TLS sessions as the server. A clone shares the configuration.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// With this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Acceptor {
        Acceptor { config }
    }

    /// Opens a session with the client at the other end of a connection. Dropping the future drops the connection. Give
    /// it a [timeout](crate::time::timeout): the peer may never say anything.
    ///
    /// # Errors
    /// As for [`Connector::connect`]. The peer is told why.
    pub async fn accept<S: Buffered>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let connection = ServerConnection::new(self.config.clone()).map_err(invalid)?;
        TlsStream::open(stream, Connection::Server(connection)).await
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
