//! TLS in simulated worlds. The arithmetic is the real one, so its random numbers are not the world's: what is said is
//! another in each run, and how long it is, and so what happens when, is the same.

use std::sync::LazyLock;

use proact_cli::transfer::tls::Client;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ED25519};
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::*;

/// The day on which certificates are looked at in these worlds.
#[derive(Debug)]
struct OneDay;

impl TimeProvider for OneDay {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000)))
    }
}

/// Both sides' configurations.
pub struct Trust {
    pub server: Arc<ServerConfig>,
    pub client: Client,
}

/// Made once: each side trusts the one authority. Signatures of Ed25519 have one length.
static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let key = || KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = key();
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let issue = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = key();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let ((near_chain, near_key), (far_chain, far_key)) = (issue("near"), issue("far"));
    let client = ClientConfig::builder_with_details(provider.clone(), Arc::new(OneDay))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(near_chain, near_key)
        .unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let mut server = ServerConfig::builder_with_details(provider, Arc::new(OneDay))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(far_chain, far_key)
        .unwrap();
    server.send_tls13_tickets = 0;
    let client = Client { config: Arc::new(client), name: ServerName::try_from("far").unwrap() };
    Trust { server: Arc::new(server), client }
});

#[test]
fn over_tls_too_nothing_is_lost_nothing_partial_is_visible_and_nothing_hangs() {
    let (mut tries, mut worlds) = (0, 0);
    explore(seeds(60), |world| {
        tries += transfer(world, Some(&TRUST)).0.tries;
        worlds += 1;
    });
    println!("{worlds} worlds: {tries} transfers");
    assert!(worlds < 50 || tries > worlds, "worlds in which nothing goes wrong show nothing");
}

#[test]
fn a_transfer_over_tls_happens_at_the_same_times_from_its_seed() {
    for seed in 0..6 {
        let run = || {
            let world = World::new(seed);
            transfer(&world, Some(&TRUST));
            (world.events(), world.now())
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}
