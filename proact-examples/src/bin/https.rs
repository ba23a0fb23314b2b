//! The server of `http`, behind TLS by rustls.
//!
//! The client chooses HTTP/2 or HTTP/1.1 while the session is opened (ALPN). A client that says nothing is given up
//! after a while: dropping the handshake's future drops the connection.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use hyper::service::service_fn;
use proact::resource::Address;
use proact_async::adapt::Adapted;
use proact_async::net::TcpStream;
use proact_async::tls::Acceptor;
use proact_async::{Stop, time};
use proact_examples::{Failure, HttpFailure, Limits, http, serve, site};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An HTTP server over TLS
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: Address,
    /// The certificate, and those that lead from it to one that clients know, as PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The certificate's private key, as PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    limits: Limits,
}

/// How long a client may take to open its session.
const HANDSHAKE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let options = Options::parse();
    proact_examples::run(async move {
        let acceptor = Acceptor::new(Arc::new(configuration(&options)?));
        let stop = Stop::new();
        serve(options.listen, &options.limits, &stop, |stream, peer| {
            let (stop, acceptor) = (stop.clone(), acceptor.clone());
            async move {
                if let Err(failure) = connection(stream, &acceptor, &stop).await {
                    eprintln!("{peer}: {failure}");
                }
            }
        })
        .await?;
        Ok(())
    })
}

fn configuration(options: &Options) -> Result<ServerConfig, Failure> {
    let certificates = CertificateDer::pem_file_iter(&options.certificate)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| format!("{}: {error}", options.certificate.display()))?;
    let key =
        PrivateKeyDer::from_pem_file(&options.key).map_err(|error| format!("{}: {error}", options.key.display()))?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn connection(stream: TcpStream, acceptor: &Acceptor, stop: &Stop) -> Result<(), HttpFailure> {
    let session = time::timeout(HANDSHAKE, acceptor.accept(Adapted::new(stream))).await??;
    http(session, stop, service_fn(site)).await
}
