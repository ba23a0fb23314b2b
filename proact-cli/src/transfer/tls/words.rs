//! What goes wrong with TLS, in words that a person can act on.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::wire::{Fault, FaultKind};

/// Which side this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// It connects, to a receiver whose certificate must be for this name.
    Sender(String),
    /// It accepts.
    Receiver,
}

impl Side {
    /// What the peer is called.
    pub(super) fn other(&self) -> &'static str {
        match self {
            Side::Sender(_) => "the receiver",
            Side::Receiver => "the sender",
        }
    }
}

/// The fault that ends the connection.
pub(super) fn fault_of(error: &Error, side: &Side) -> Fault {
    let kind = match error {
        Error::DecryptError | Error::AlertReceived(AlertDescription::BadRecordMac) => FaultKind::Corrupted,
        _ => FaultKind::Protocol,
    };
    Fault::new(kind, words(error, side))
}

fn words(error: &Error, side: &Side) -> String {
    let other = side.other();
    match (error, side) {
        (Error::InvalidCertificate(why), _) => certificate(why, side),
        (Error::NoCertificatesPresented, _) => {
            "the sender showed no client certificate; it needs --client-cert and --client-key".into()
        }
        (Error::InvalidMessage(InvalidMessage::InvalidContentType), Side::Sender(_)) => {
            "the receiver does not speak TLS; it was started without --tls-cert".into()
        }
        (Error::InvalidMessage(InvalidMessage::InvalidContentType), Side::Receiver) => {
            "the sender does not speak TLS; it was started without --tls-ca".into()
        }
        (Error::DecryptError, _) => "a TLS record arrived damaged, or forged".into(),
        (Error::AlertReceived(alert), _) => refused(*alert, side),
        (Error::PeerIncompatible(why), _) => format!("{other} speaks no version of TLS that this side does: {why:?}"),
        _ => format!("TLS: {error}"),
    }
}

/// This side does not accept the peer's certificate.
fn certificate(why: &CertificateError, side: &Side) -> String {
    let (other, authorities) = match side {
        Side::Sender(_) => ("receiver", "--tls-ca"),
        Side::Receiver => ("sender", "--tls-client-ca"),
    };
    match why {
        CertificateError::UnknownIssuer => {
            format!("the {other}'s certificate is not issued by an authority of {authorities} (unknown CA)")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the {other}'s certificate has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the {other}'s certificate is not valid yet; are both clocks right?")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => match side {
            Side::Sender(name) => {
                format!("the receiver's certificate is not for {name}; give a name that it is for with --tls-name")
            }
            Side::Receiver => "the sender's certificate is not for its name".into(),
        },
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            let purpose = if other == "sender" { "clients" } else { "servers" };
            format!("the {other}'s certificate is not meant for TLS {purpose}")
        }
        _ => format!("the {other}'s certificate is refused: {why}"),
    }
}

/// The peer has refused this side.
fn refused(alert: AlertDescription, side: &Side) -> String {
    let other = side.other();
    let own = match side {
        Side::Sender(_) => "--client-cert",
        Side::Receiver => "--tls-cert",
    };
    match alert {
        AlertDescription::CertificateRequired => {
            format!("{other} asks for a client certificate; add --client-cert and --client-key")
        }
        AlertDescription::UnknownCA => format!("{other} does not know the authority that issued {own} (unknown CA)"),
        AlertDescription::CertificateExpired => format!("{other} refuses {own}: it has expired, or is not valid yet"),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => format!("{other} refuses {own} ({alert:?})"),
        AlertDescription::BadRecordMac | AlertDescription::DecryptError => {
            format!("{other} received a TLS record that was damaged, or forged ({alert:?})")
        }
        _ => format!("{other} ended TLS: {alert:?}"),
    }
}
