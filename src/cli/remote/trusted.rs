//! Whose certificate a command takes over https.
//!
//! Invariant: an authority of the system's or of a file vouches for it, or it stands in such a file
//! itself. The latter is how self-made certificates are, which as a rule say of themselves that they
//! are authorities, and so are good for no server by the rules for those.

use std::error::Error;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Says whether a certificate is taken.
#[derive(Debug)]
pub(super) struct Trusted {
    named: Vec<CertificateDer<'static>>,
    own: Option<CertificateDer<'static>>,
    authorities: Verifier,
}

impl Trusted {
    /// Takes what `named` vouch for, and these themselves under the names in them; `own`, that of the
    /// configuration, under any name.
    pub(super) fn new(
        named: Vec<CertificateDer<'static>>,
        own: Option<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        let authorities = Verifier::new_with_extra_roots(named.iter().cloned(), provider)?;
        Ok(Self { named, own, authorities })
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.own.as_ref() == Some(shown) {
            return Ok(ServerCertVerified::assertion());
        }
        if self.named.contains(shown) {
            verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
            let (_, parsed) =
                X509Certificate::from_der(shown).map_err(|_| CertificateError::BadEncoding)?;
            if !parsed.validity().is_valid() {
                return Err(CertificateError::Expired.into());
            }
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(shown, between, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// What to do about a request to `origin` that was not answered.
pub(in crate::cli) fn unanswered(error: &reqwest::Error, origin: &str) -> String {
    let mut next = Some(error as &(dyn Error + 'static));
    let mut causes = std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    });
    // What carries it is wrapped on its way up, each time in another of the kind.
    let of_tls = |error: &(dyn Error + 'static)| {
        let mut carrier = error.downcast_ref::<std::io::Error>();
        while let Some(inner) = carrier?.get_ref() {
            if let Some(found) = inner.downcast_ref::<rustls::Error>() {
                return Some(found.clone());
            }
            carrier = inner.downcast_ref();
        }
        None
    };
    match causes.find_map(of_tls) {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => format!("the certificate at {origin} is for another name: ask by that one"),
        Some(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => format!("the certificate at {origin} has ended: have it renewed"),
        Some(rustls::Error::InvalidCertificate(_)) => format!(
            "the certificate at {origin} is not trusted: name its authority, or itself, by --ca-file"
        ),
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => format!(
            "a certificate is wanted at {origin}: name yours, with its key, by --client-cert-file"
        ),
        _ => format!("no toolscout answers at {origin}: start it, or name its address by --url"),
    }
}
