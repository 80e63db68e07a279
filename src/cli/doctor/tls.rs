//! The certificates that are listened with: that they can be served with, and for how long yet.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Check;
use crate::config::Certificates;

/// With less time than this left a renewal is late.
const SOON: Duration = Duration::from_hours(14 * 24);

/// The certificate of `[tls]`, and those of authorities beside it.
pub(super) fn check(certificates: &Certificates) -> Check {
    let what = "tls";
    if let Err((key, why)) = certificates.read() {
        return Check::fail(what, format!("`{key}`: {why}"), "correct it in [tls]");
    }
    let pem = std::fs::read(&certificates.certificate).unwrap_or_default();
    let ends = CertificateDer::pem_slice_iter(&pem).filter_map(|certificate| {
        let certificate = certificate.ok()?;
        let (_, certificate) = X509Certificate::from_der(&certificate).ok()?;
        u64::try_from(certificate.validity().not_after.timestamp()).ok()
    });
    let shown = certificates.certificate.display().to_string();
    match ends.min() {
        Some(end) => judge(&shown, UNIX_EPOCH + Duration::from_secs(end)),
        None => Check::warn(what, format!("{shown}: its end can't be read"), "look at it"),
    }
}

fn judge(shown: &str, end: SystemTime) -> Check {
    let what = "tls";
    let remedy = "renew it: the new one is read while it serves";
    let days = |span: Duration| span.as_secs() / (24 * 3_600);
    match end.duration_since(SystemTime::now()) {
        Err(ago) => {
            Check::fail(what, format!("{shown} ended {} days ago", days(ago.duration())), remedy)
        }
        Ok(left) if left < SOON => {
            Check::warn(what, format!("{shown} ends in {} days", days(left)), remedy)
        }
        Ok(left) => Check::ok(what, format!("{shown} is good for {} days", days(left))),
    }
}
