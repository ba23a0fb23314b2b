//! Certificates and keys, from the files that the command line names.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::cli::{Receive, Transfer};
use crate::exit::{Exit, Failure};
use crate::transfer::tls::Client;

/// What `transfer` needs for TLS; `None` without `--tls-ca`.
///
/// # Errors
/// A file that cannot be read or has not what it should have, named.
pub fn client(options: &Transfer) -> Result<Option<Client>, Failure> {
    let (Some(authorities), Some(to)) = (&options.tls_ca, &options.to) else { return Ok(None) };
    let roots = roots("--tls-ca", authorities)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| refused("--tls-ca", authorities, error))?
        .with_root_certificates(roots);
    let config = match (&options.client_cert, &options.client_key) {
        (Some(certificate), Some(key)) => {
            let chain = chain("--client-cert", certificate)?;
            let loaded = private_key("--client-key", key)?;
            builder.with_client_auth_cert(chain, loaded).map_err(|error| refused("--client-key", key, error))?
        }
        _ => builder.with_no_client_auth(),
    };
    let name = options.tls_name.as_ref().unwrap_or(&to.host);
    let name = ServerName::try_from(name.clone())
        .map_err(|error| Failure::new(Exit::Usage, format!("{name}: no name for a certificate: {error}")))?;
    Ok(Some(Client { config: Arc::new(config), name }))
}

/// What `receive` needs for TLS; `None` without `--tls-cert`.
///
/// # Errors
/// As [`client`].
pub fn server(options: &Receive) -> Result<Option<Arc<ServerConfig>>, Failure> {
    let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) else { return Ok(None) };
    let verifier = match &options.tls_client_ca {
        Some(authorities) => Some(verifier(authorities)?),
        None => None,
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| refused("--tls-cert", certificate, error))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let loaded = private_key("--tls-key", key)?;
    let mut config = builder
        .with_single_cert(chain("--tls-cert", certificate)?, loaded)
        .map_err(|error| refused("--tls-key", key, error))?;
    // Nobody connects again to go on: tickets would be bytes without a use.
    config.send_tls13_tickets = 0;
    Ok(Some(Arc::new(config)))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn verifier(authorities: &Path) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let roots = Arc::new(roots("--tls-client-ca", authorities)?);
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| refused("--tls-client-ca", authorities, error))
}

fn chain(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = read(option, path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(refused(option, path, "no certificate is in it")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(refused(option, path, error)),
    }
}

fn roots(option: &str, path: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(option, path)? {
        roots.add(certificate).map_err(|error| refused(option, path, error))?;
    }
    Ok(roots)
}

fn private_key(option: &str, path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(&read(option, path)?).map_err(|error| match error {
        Error::NoItemsFound => refused(option, path, "no private key is in it"),
        error => refused(option, path, error),
    })
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| refused(option, path, error))
}

fn refused(option: &str, path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("{option} {}: {why}", path.display()))
}
