//! The console in the browser: files that were built from `console/` and stand in the binary.
//!
//! Invariant: they say nothing of this toolscout, so everybody may have them; what they show they
//! ask for like any other client. A page loads nothing but them, and runs no script but theirs.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// Where its files are.
pub const FILES: &str = "/console/{file}";
/// Its pages, one file for all: what stands on them is decided in the browser.
pub const PAGES: [&str; 6] = ["/", "/catalog", "/servers", "/quality", "/map", "/activity"];
/// What a page may load and do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    tag: String,
}

impl File {
    fn new(name: &'static str, kind: &'static str, bytes: &'static [u8]) -> Self {
        let hash = Sha256::digest(bytes);
        let tag: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Self { name, kind, bytes, tag: format!("\"{tag}\"") }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        // Kept, and asked for again each time: after an upgrade nobody looks at an old one.
        let head: [(HeaderName, &str); 4] = [
            (header::CONTENT_TYPE, self.kind),
            (header::CACHE_CONTROL, "no-cache"),
            (header::ETAG, &self.tag),
            (header::CONTENT_SECURITY_POLICY, POLICY),
        ];
        let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let mut known = known.into_iter().flat_map(|tags| tags.split(','));
        if known.any(|tag| tag.trim().trim_start_matches("W/") == self.tag) {
            return (StatusCode::NOT_MODIFIED, head).into_response();
        }
        (head, self.bytes).into_response()
    }
}

static FILES_BUILT: LazyLock<[File; 4]> = LazyLock::new(|| {
    [
        File::new(
            "index.html",
            "text/html; charset=utf-8",
            include_bytes!("../../console/dist/index.html"),
        ),
        File::new(
            "app.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../console/dist/app.js"),
        ),
        File::new(
            "app.css",
            "text/css; charset=utf-8",
            include_bytes!("../../console/dist/app.css"),
        ),
        File::new("icon.svg", "image/svg+xml", include_bytes!("../../console/dist/icon.svg")),
    ]
});

/// Every route, by its path.
pub fn routes() -> impl Iterator<Item = (&'static str, MethodRouter)> {
    let page = async |headers: HeaderMap| FILES_BUILT[0].answer(&headers);
    let pages = PAGES.into_iter().map(move |path| (path, get(page)));
    pages.chain([(FILES, get(file))])
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match FILES_BUILT.iter().skip(1).find(|file| file.name == name) {
        Some(file) => file.answer(&headers),
        None => Problem::no_route().into_response(),
    }
}
