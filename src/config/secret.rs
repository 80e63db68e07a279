//! Tells literal secrets from other values, by the name they stand under and by their looks.
//!
//! Invariant: in doubt it is a secret. Somebody sets a variable too many; nobody's token ends up
//! in a file that others read. What `${…}` stands for is never one: it isn't in the text.

use std::ops::Range;

/// A literal secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it is.
    pub range: Range<usize>,
    /// What it is called there, for the name of a variable.
    pub name: String,
}

/// Words in names whose values are secrets.
const NAMES: [&str; 14] = [
    "token",
    "key",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "authorization",
    "credential",
    "credentials",
    "cookie",
    "bearer",
    "jwt",
    "pat",
    "auth",
];

/// Words in names that count or measure tokens and keys, or say where one is.
const ABOUT: [&str; 20] = [
    "max", "min", "limit", "count", "budget", "length", "size", "ttl", "timeout", "expiry", "path",
    "file", "dir", "folder", "url", "uri", "type", "method", "mode", "enabled",
];

/// How tokens of well-known services begin.
const PREFIXES: [&str; 47] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxs-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "npm_",
    "pypi-",
    "hf_",
    "dop_v1_",
    "SG.",
    "shpat_",
    "lin_api_",
    "ntn_",
    "secret_",
    "tvly-",
    "fc-",
    "figd_",
    "ATATT",
    "ATCTT",
    "sntrys_",
    "sntryu_",
    "sbp_",
    "gsk_",
    "xai-",
    "r8_",
    "key-",
    "whsec_",
    "eyJ",
    "nvapi-",
    "pplx-",
    "rnd_",
];

/// Words before a credential in a header.
const SCHEMES: [&str; 5] = ["bearer ", "basic ", "token ", "apikey ", "digest "];

/// The secrets of a value under a name, as in `env` and `headers`.
pub(super) fn in_value(name: &str, value: &str) -> Vec<Found> {
    let found = |range| Found { range, name: name.to_owned() };
    let (scheme, rest) = after_scheme(value);
    if is_filled_in(rest) {
        return Vec::new();
    }
    if value.contains("://") {
        return in_url(value);
    }
    let named = scheme > 0 || (sounds_secret(name) && !is_plain(name, rest));
    if named || looks_secret(rest) {
        return vec![found(scheme..value.len())];
    }
    Vec::new()
}

/// The secrets of arguments, each with its argument's place: `--token x`, `--token=x`,
/// `-e TOKEN=x`, `--header "Authorization: Bearer x"`.
pub(super) fn in_args(args: &[String]) -> Vec<(usize, Found)> {
    let mut all = Vec::new();
    let mut flag = None;
    for (place, argument) in args.iter().enumerate() {
        let is_line = argument.contains(char::is_whitespace) && !is_header(argument);
        // A line for a shell is arguments again.
        let words = if is_line { words_of(argument) } else { vec![(0, argument.as_str())] };
        for (at, word) in words {
            let found = in_argument(word, &mut flag);
            all.extend(found.into_iter().map(|found| (place, moved(found, at))));
        }
    }
    all
}

/// The secrets of one argument; `flag` is the one before it, if that waits for a value.
fn in_argument<'a>(argument: &'a str, flag: &mut Option<&'a str>) -> Vec<Found> {
    let before = flag.take();
    if let Some((start, name)) = split(argument) {
        let value = argument[start..].trim_start_matches(['\'', '"']);
        let start = argument.len() - value.len();
        let found = in_value(name, value.trim_end_matches(['\'', '"']));
        return found.into_iter().map(|found| moved(found, start)).collect();
    }
    if argument.starts_with('-') {
        *flag = Some(argument.trim_start_matches('-'));
        return Vec::new();
    }
    in_value(before.unwrap_or("argument"), argument)
}

/// `Name: value`.
fn is_header(argument: &str) -> bool {
    split(argument).is_some_and(|(_, name)| argument[name.len()..].starts_with(':'))
}

/// The words of a line, without the quotes around them, and where each begins.
fn words_of(line: &str) -> Vec<(usize, &str)> {
    let edge = |c: char| matches!(c, '\'' | '"' | ';' | '(' | ')' | '`');
    let start = line.as_ptr().addr();
    let words = line.split_whitespace().map(|word| word.trim_matches(edge));
    words.map(|word| (word.as_ptr().addr() - start, word)).collect()
}

/// The secrets of a URL: a password, values of its query, and parts of its path that look like one.
pub(super) fn in_url(url: &str) -> Vec<Found> {
    let mut all = Vec::new();
    let Some(start) = url.find("://").map(|at| at + 3) else { return all };
    let authority = start + url[start..].find(['/', '?', '#']).unwrap_or(url.len() - start);
    if let Some(at) = url[start..authority].rfind('@') {
        let user = &url[start..start + at];
        let secret = user.find(':').map_or(start, |colon| start + colon + 1);
        let name = if user.contains(':') { "password" } else { "token" };
        // A user without a password may be no more than a name.
        let literal = &url[secret..start + at];
        if !is_filled_in(literal) && (name == "password" || looks_secret(literal)) {
            all.push(Found { range: secret..start + at, name: name.into() });
        }
    }
    let query = url[authority..].find('?').map_or(url.len(), |at| authority + at);
    for (at, segment) in pieces(&url[authority..query], '/') {
        if looks_secret(segment) {
            let range = authority + at..authority + at + segment.len();
            all.push(Found { range, name: "url_key".into() });
        }
    }
    if query < url.len() {
        for (at, pair) in pieces(&url[query + 1..], '&') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let start = query + 1 + at + name.len() + 1;
            let literal = !is_filled_in(value);
            if literal && ((sounds_secret(name) && !is_plain(name, value)) || looks_secret(value)) {
                all.push(Found { range: start..start + value.len(), name: name.into() });
            }
        }
    }
    all
}

/// `NAME=value` and `Name: value`, as where the value begins and its name.
fn split(argument: &str) -> Option<(usize, &str)> {
    let at = argument.find(['=', ':'])?;
    let name = argument[..at].trim_start_matches('-');
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(is_name) || argument[at..].starts_with("://") {
        return None;
    }
    let value = argument[at + 1..].trim_start();
    Some((argument.len() - value.len(), name))
}

fn moved(found: Found, by: usize) -> Found {
    Found { range: found.range.start + by..found.range.end + by, ..found }
}

fn pieces(text: &str, separator: char) -> impl Iterator<Item = (usize, &str)> {
    let start = text.as_ptr().addr();
    text.split(separator).map(move |piece| (piece.as_ptr().addr() - start, piece))
}

/// Where the credential of a header begins, and it.
fn after_scheme(value: &str) -> (usize, &str) {
    let scheme = SCHEMES.iter().find(|scheme| {
        value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    // Any one word is a scheme where a variable follows.
    let word = |at: &usize| value[..*at].chars().all(|c| c.is_ascii_alphabetic() || c == '-');
    let other = || value.find(" ${").filter(word).map(|at| at + 1);
    let at = scheme.map(|scheme| scheme.len()).or_else(other).unwrap_or(0);
    (at, &value[at..])
}

/// Nothing literal is left beside variables.
fn is_filled_in(value: &str) -> bool {
    let mut rest = String::new();
    let mut text = value;
    while let Some((before, after)) = text.split_once("${") {
        rest.push_str(before);
        text = after.split_once('}').map_or("", |(_, behind)| behind);
    }
    rest.push_str(text);
    rest.chars().all(|c| !c.is_alphanumeric())
}

/// The name is one of a secret.
pub(crate) fn sounds_secret(name: &str) -> bool {
    let words = words(name);
    let endings = ["token", "key", "secret", "password", "passwd"];
    words.iter().any(|word| {
        let singular = word.strip_suffix('s').unwrap_or(word);
        NAMES.contains(&word.as_str())
            || NAMES.contains(&singular)
            || endings.iter().any(|ending| singular.ends_with(ending))
    })
}

/// A value that no secret has, under a name that may have one.
fn is_plain(name: &str, value: &str) -> bool {
    let about = words(name).iter().any(|word| ABOUT.contains(&word.as_str()));
    let short = value.len() <= 6 && value.bytes().all(|byte| byte.is_ascii_digit());
    let switch = matches!(value.to_lowercase().as_str(), "true" | "false" | "none" | "null" | "");
    switch || is_path(value) || (about && (short || !looks_secret(value)))
}

/// A path of a file, as far as one can tell.
fn is_path(value: &str) -> bool {
    let rooted = ["/", "~/", "./", "../", "%"].iter().any(|root| value.starts_with(root))
        || value.get(1..3).is_some_and(|colon| colon == ":\\" || colon == ":/");
    let name = value.rsplit(['/', '\\']).next().unwrap_or_default();
    rooted && name.contains('.') && !value.contains(['+', '='])
}

/// The value looks like a token, whatever its name.
pub(crate) fn looks_secret(value: &str) -> bool {
    if value.starts_with("-----BEGIN") {
        return true;
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "_-+=.~".contains(c);
    // Slashes belong to base64, and to paths and packages far more often.
    let base64 = value.contains(['+', '=']) && value.contains('/');
    if !value.chars().all(|c| token(c) || (base64 && c == '/')) {
        return false;
    }
    let known = PREFIXES.iter().find(|prefix| value.starts_with(**prefix));
    if let Some(prefix) = known {
        let rest = &value[prefix.len()..];
        return rest.len() >= 12 && rest.contains(|c: char| c.is_ascii_digit() || c == '.')
            || (rest.len() >= 20 && !rest.contains(['-', '_']));
    }
    value.len() >= 20 && changes(value) >= 5 && entropy(value) >= 3.0
}

/// How often letters and digits, or capitals and small letters within a word, take turns: chance
/// does that much more often than people do.
fn changes(value: &str) -> usize {
    let kind = |byte: u8| match byte {
        b'0'..=b'9' => 1,
        b'A'..=b'Z' => 2,
        b'a'..=b'z' => 3,
        _ => 0,
    };
    let bytes = value.as_bytes();
    let turns = bytes.windows(2).filter(|pair| {
        let (a, b) = (kind(pair[0]), kind(pair[1]));
        // `aB` begins a word and `Ab` goes on with it; both are how names are written.
        a != 0 && b != 0 && a != b && (a == 1 || b == 1)
    });
    let mixed = bytes.windows(3).filter(|three| {
        let kinds = [kind(three[0]), kind(three[1]), kind(three[2])];
        kinds == [3, 2, 3] || kinds == [2, 3, 2]
    });
    turns.count() + mixed.count() / 2
}

/// Bits a character, of the characters it has.
fn entropy(value: &str) -> f64 {
    let mut counts = [0_u32; 128];
    for byte in value.bytes() {
        counts[usize::from(byte) & 127] += 1;
    }
    let total: f64 = counts.iter().copied().map(f64::from).sum();
    let share = |count: &u32| f64::from(*count) / total;
    -counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| share(count) * share(count).log2())
        .sum::<f64>()
}

/// The words of a name, in small letters: `apiKey`, `API_KEY` and `x-api-key` alike.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && small) {
            words.push(String::new());
        }
        small = c.is_lowercase();
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(name: &str, value: &str) -> Vec<String> {
        in_value(name, value).into_iter().map(|found| value[found.range].to_owned()).collect()
    }

    #[test]
    fn names_tell() {
        for (name, value) in [
            ("GITHUB_TOKEN", "hunter2"),
            ("apiKey", "abc"),
            ("X-API-Key", "12"),
            ("OPENAI_APIKEY", "x"),
            ("AWS_SECRET_ACCESS_KEY", "/9j/4AAQ"),
            ("DB_PASSWORD", "1234567"),
            ("Cookie", "a=b"),
        ] {
            assert_eq!(secrets(name, value), [value], "{name}");
        }
        for (name, value) in [
            ("MAX_TOKENS", "4096"),
            ("TOKEN_BUDGET", "100000"),
            ("USE_TOKEN", "true"),
            ("KEY_FILE", "/home/ada/key.pem"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "~/adc.json"),
            ("LOG_LEVEL", "debug"),
            ("TOKEN", "${TOKEN}"),
            ("TOKEN", ""),
            ("Authorization", "Bearer ${TOKEN}"),
            ("Authorization", "Bearer ${env:TOKEN:-none}"),
            ("X-API-Key", "sso-key ${KEY}:${SECRET}"),
            ("MONGO_URL", "mongodb://localhost:27017/db"),
            ("AUTH_TYPE", "oauth"),
        ] {
            assert_eq!(secrets(name, value), [""; 0], "{name}={value}");
        }
    }

    #[test]
    fn looks_tell() {
        for value in [
            "ghp_0123456789abcdefghijABCDEFGHIJ012345",
            "sk-proj-Zm9vYmFyMTIzNDU2Nzg5MA",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
            "8f14e45fceea167a5a36dedd4bea2543",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "Kq3vT9xZb2Lm8RwPc5Yd",
            "xoxb-123456789012-abcdefABCDEF",
        ] {
            assert_eq!(secrets("VALUE", value), [value]);
        }
        for value in [
            "@modelcontextprotocol/server-everything@2026.1.14",
            "mcp-server-kubernetes-extended",
            "/srv/projects/2026/catalog/v2/index.json",
            "createPullRequestReviewComment",
            "ghcr.io/acme/mcp-server:v1.2.3",
            "https://mcp.example.com/v1/mcp",
            "sk-learn-server",
            "key-value-store",
            "PK_COLUMN",
            "2026-11-22T05:50:54Z",
            "a long sentence with spaces in it, 1 2 3 4 5 6 7 8",
        ] {
            assert_eq!(secrets("VALUE", value), [""; 0], "{value}");
        }
    }

    #[test]
    fn schemes_and_addresses_stay() {
        assert_eq!(secrets("Authorization", "Bearer abc"), ["abc"]);
        assert_eq!(secrets("X-Any", "bearer abc"), ["abc"]);
        assert_eq!(secrets("DATABASE_URL", "postgres://app:pw@db:5432/x"), ["pw"]);
        assert_eq!(secrets("DATABASE_URL", "postgres://app:${PW}@db:5432/x"), [""; 0]);
        let url = "https://x.test/s/Kq3vT9xZb2Lm8RwPc5Yd/mcp?profile=a&api_key=k1#top";
        assert_eq!(secrets("url", url), ["Kq3vT9xZb2Lm8RwPc5Yd", "k1#top"]);
        assert_eq!(secrets("url", "https://ada@x.test/mcp?q=1"), [""; 0]);
    }

    #[test]
    fn arguments_are_read_with_their_flags() {
        let args = [
            "--token",
            "t0",
            "-y",
            "pkg",
            "--api-key=k0",
            "-e",
            "GH_TOKEN=g0",
            "--header",
            "Authorization: Bearer b0",
            "--port",
            "8080",
            "--max-tokens",
            "4096",
            "${TOKEN}",
            "postgres://u:p0@h/d",
            "--verbose",
            "export A=1; GH_TOKEN='g1' run --password p1 \"$HOME\"",
        ];
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let found: Vec<_> = in_args(&args)
            .into_iter()
            .map(|(place, found)| (found.name, args[place][found.range].to_owned()))
            .collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("token", "t0"),
            pair("api-key", "k0"),
            pair("GH_TOKEN", "g0"),
            pair("Authorization", "b0"),
            pair("password", "p0"),
            pair("GH_TOKEN", "g1"),
            pair("password", "p1"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_fall_into_words() {
        assert_eq!(words("apiKey"), ["api", "key"]);
        assert_eq!(words("X-API-Key"), ["x", "api", "key"]);
        assert_eq!(words("__"), [""; 0]);
    }
}
