//! Which view a request is answered from: that of `/p/NAME/…`, or of `?profile=NAME`.
//!
//! Invariant: what names a profile is never answered from the whole: an unknown one is refused, in
//! words that name no other, and so is a request that names two. For callers who are kept to a
//! profile there is no other, whatever they name.

use axum::extract::FromRequestParts;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Path, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;

use super::problem::Problem;
use crate::access::caller::Caller;
use crate::live::Live;

/// The parameter that names a profile, in the path and in the query.
pub const PROFILE: &str = "profile";

/// Where the same is served of a profile.
pub const PREFIX: &str = "/p/{profile}";

/// The index as the caller is to see it.
pub struct Scoped(pub Live);

/// The id at the end of a path, which may be below a profile's.
#[derive(Debug, Deserialize)]
pub struct IdPath {
    /// The id.
    pub id: String,
}

/// The path of an id.
pub type AtId = Path<IdPath>;

impl FromRequestParts<Live> for Scoped {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, live: &Live) -> Result<Self, Problem> {
        let in_path = match RawPathParams::from_request_parts(parts, live).await {
            Ok(params) => params.iter().find(|(key, _)| *key == PROFILE).map(|it| it.1.to_owned()),
            Err(RawPathParamsRejection::MissingPathParams(_)) => None,
            Err(_) => return Err(Problem::invalid("the path is not percent-encoded UTF-8")),
        };
        let query = parts.uri.query().unwrap_or_default();
        let in_query = url::form_urlencoded::parse(query.as_bytes())
            .filter(|(key, _)| key == PROFILE)
            .map(|(_, name)| name.into_owned());
        let kept_to = parts.extensions.get::<Caller>().and_then(|caller| caller.profile.clone());
        let mut live = match kept_to {
            Some(profile) => live.locked(&profile).ok_or_else(no_profile)?,
            None => live.clone(),
        };
        for name in in_path.into_iter().chain(in_query) {
            live = within(&live, Some(&name))?;
        }
        Ok(Self(live))
    }
}

/// What the profile that a body names sees of `live`.
pub fn within(live: &Live, profile: Option<&str>) -> Result<Live, Problem> {
    match (profile, live.scope()) {
        (None, _) => Ok(live.clone()),
        (Some(name), None) => live.scoped(name).ok_or_else(no_profile),
        (Some(name), Some(scope)) if name == scope => Ok(live.clone()),
        (Some(_), Some(_)) if live.is_locked() => Err(no_profile()),
        (Some(_), Some(_)) => Err(Problem::invalid("two profiles are named: name one")),
    }
}

/// The index where it is not seen through a profile: what happened to all definitions is told to
/// operators alone.
pub fn whole(Scoped(live): Scoped) -> Result<Live, Problem> {
    if live.scope().is_none() {
        return Ok(live);
    }
    Err(Problem::new(
        StatusCode::NOT_FOUND,
        "not-of-a-profile",
        "this tells of all tools and so is not there for a profile: ask without one",
    ))
}

fn no_profile() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown-profile",
        "there is no such profile: ask whoever runs this toolscout for its name",
    )
}
