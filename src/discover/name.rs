//! Ids for servers that come with names of their own, or with none.
//!
//! Invariant: an id that is made here holds nothing but small letters, digits, `-`, `_` and `.`.

use std::collections::BTreeSet;

use url::Url;

/// A short id made of a name: small letters, digits, `-`, `_` and `.`.
pub fn slug(name: &str) -> String {
    const LONGEST: usize = 40;
    let mut slug = String::new();
    for c in name.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() || (matches!(c, '_' | '.') && !slug.is_empty()) {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == LONGEST {
            break;
        }
    }
    slug.truncate(slug.trim_end_matches(['-', '.', '_']).len());
    slug
}

/// An id of a server's name: what stands behind the slash, if that tells it from others.
pub fn of_name(name: &str) -> Option<String> {
    let (space, last) = name.rsplit_once('/').unwrap_or(("", name));
    let last = slug(last);
    let is_common = ["", "mcp", "server", "mcp-server"].contains(&last.as_str());
    let id = if is_common && !space.is_empty() {
        slug(space.rsplit('.').next().unwrap_or_default())
    } else {
        last
    };
    (!id.is_empty()).then_some(id)
}

/// An id of a host: `mcp.example.com` is `example`.
pub fn of_host(url: &Url) -> Option<String> {
    let host = url.domain()?;
    let labels: Vec<&str> = host.split('.').collect();
    let label = match labels.as_slice() {
        [] => return None,
        [only] => only,
        // A short one before a short one is a part of the ending, as in co.uk.
        [.., name, second, last] if second.len() <= 3 && last.len() <= 2 => name,
        [.., name, _] => name,
    };
    Some(slug(label)).filter(|id| !id.is_empty())
}

/// Gives servers of one name ids of their own.
pub(super) fn tell_apart<'a>(ids: impl Iterator<Item = &'a mut String>) {
    let mut taken = BTreeSet::new();
    for id in ids {
        let base = id.clone();
        let mut more = 2;
        while !taken.insert(id.clone()) {
            *id = format!("{base}-{more}");
            more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_tell_servers_apart() {
        let host = |text: &str| of_host(&Url::parse(text).unwrap());
        assert_eq!(host("https://mcp.example.com/").as_deref(), Some("example"));
        assert_eq!(host("https://shop.co.uk/").as_deref(), Some("shop"));
        assert_eq!(host("https://intranet/").as_deref(), Some("intranet"));
        assert_eq!(of_name("com.example/Weather").as_deref(), Some("weather"));
        assert_eq!(of_name("com.example/mcp").as_deref(), Some("example"));
        assert_eq!(of_name("///"), None);
    }

    #[test]
    fn slugs_are_plain() {
        assert_eq!(slug("Weather & Tides (beta)"), "weather-tides-beta");
        assert_eq!(slug("..a_b.c--"), "a_b.c");
        assert_eq!(slug("日本"), "");
        assert_eq!(slug(&"x".repeat(99)).len(), 40);
    }
}
