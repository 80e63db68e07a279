//! Reads every source of configuration and resolves them into one [`Config`].
//!
//! Invariant: flag before environment before file before default, and no error hides another.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::check::Check;
use super::error::{ConfigError, ConfigErrors, Lines, Place, Problem};
use super::raw::{RawConfig, RawServer};
use super::server::{self, Defaults, Entry};
use super::{
    Config, EmbedConfig, Environment, audit, call, client, cluster, encoder, file, inbound, learn,
    limits, network, profile, registry, telemetry, tenant, tls, trust,
};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "toolscout.toml";

/// What flags say, and the folder that their relative paths start from.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, as they are")]
pub struct Sources {
    /// The working folder.
    pub folder: PathBuf,
    /// No `toolscout.toml` is looked for.
    pub no_file: bool,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// Read in place of what is in the configuration's file.
    pub text: Option<String>,
    /// `--mcp-config`.
    pub mcp_config: Vec<PathBuf>,
    /// `--catalog`, each with its `--servers`.
    pub catalogs: Vec<(PathBuf, Option<PathBuf>)>,
    /// `--demo`.
    pub demo: bool,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--allow-anonymous`.
    pub allow_anonymous: bool,
    /// A listener will be opened, so its address must be safe.
    pub listens: bool,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--model`.
    pub model: Option<PathBuf>,
    /// `--reranker`.
    pub reranker: Option<PathBuf>,
    /// `--runtime`.
    pub runtime: Option<PathBuf>,
    /// The file is a tenant's, who says nothing of the process.
    pub of_tenant: bool,
    /// An entry of a server that is wrong takes nothing with it but itself.
    pub leave_out: bool,
}

/// A resolved configuration, and what is worth knowing of how it came to be.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is legal, and yet may not be meant.
    pub warnings: Vec<ConfigError>,
    /// What is wrong with entries that were left out for it.
    pub left_out: Vec<ConfigError>,
    /// The files that were read: the configuration's own, and those that it names for secrets,
    /// variables and certificates.
    pub files: Vec<PathBuf>,
    /// Values that came from the environment: hidden wherever the configuration is shown.
    pub(super) filled_in: Vec<SecretString>,
}

/// What resolving a section of the file takes.
pub(super) struct Section<'a> {
    /// The whole file: a section is at its name.
    pub place: &'a Place,
    /// The folder that relative paths start from.
    pub base: &'a Path,
    pub environment: &'a Environment<'a>,
    pub errors: &'a mut Vec<ConfigError>,
    pub warnings: &'a mut Vec<ConfigError>,
    /// What else was read, to be watched for changes.
    pub files: &'a mut Vec<PathBuf>,
}

/// Reads and resolves everything.
#[expect(clippy::too_many_lines, reason = "a section after the other, each in a few lines")]
pub fn load(sources: &Sources, environment: &Environment<'_>) -> Result<Loaded, ConfigErrors> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let mut files = Vec::new();
    let mut entries = Vec::new();

    let (mut raw, place, base) =
        own_file(sources, environment, &mut files, &mut entries, &mut errors);
    if sources.of_tenant {
        tenant::refuse_of_process(&place, &mut errors);
    }
    let mut told = client::Told { errors: &mut errors, warnings: &mut warnings };
    of_clients(sources, &mut files, &mut entries, &mut told);
    entries.extend(
        (sources.catalogs.iter())
            .map(|(path, servers)| catalog_entry(&sources.folder, path, servers.as_deref())),
    );

    let mut filled_in = Vec::new();
    let at = (&place.at("crawl"), base.as_path());
    let network = network::of_crawl(&mut raw.crawl, at, environment, &mut filled_in, &mut errors);
    let mut check = Check { place: &place, errors: &mut errors };
    let usual = Defaults::default();
    let defaults = Defaults {
        timeout: check.time("timeout", raw.crawl.timeout.as_deref(), usual.timeout),
        refresh: check.time("refresh", raw.crawl.refresh.as_deref(), usual.refresh),
        network,
    };
    let crawl = check.crawl(&raw.crawl);
    let listen = check.listen(&raw, sources, environment);
    let data = check.data(&raw, &base, sources, environment);
    let data_folder = data.as_deref();
    files.extend(named_files(&raw, &base).chain(defaults.network.files().cloned()));
    let mut check =
        encoder::Check::new((&place, &base, data_folder), environment, &mut errors, &mut warnings);
    let embed = check.embed(raw.embed, sources);
    let rerank = check.rerank(raw.rerank, sources);
    let registries = registry::resolve(raw.registry, &place, &mut errors);
    let profiles = profile::resolve(raw.profiles, &place, &mut errors);
    let mut check = Check { place: &place, errors: &mut errors };
    let token_key =
        check.token_key(raw.token_key_file.as_deref(), raw.token_keyring, &base, environment);

    let trust = trust::resolve(&raw.trust, &entries, &place, &mut errors);
    let (call, mcp) = call::resolve(&raw.call, &raw.mcp, &entries, &place, &mut errors);
    let learn = learn::resolve(&raw.learn, &place.at("learn"), &mut errors);
    let mut section = Section {
        place: &place,
        base: &base,
        environment,
        errors: &mut errors,
        warnings: &mut warnings,
        files: &mut files,
    };
    let auth = inbound::resolve(raw.auth, &mut section);
    let tenants = tenant::resolve(raw.tenants, data.as_deref(), &mut section);
    let limits = limits::resolve(raw.limits, &mut section);
    let tls = tls::resolve(raw.tls, &mut section);
    let telemetry = telemetry::resolve(raw.telemetry, &mut section);
    let audit = audit::resolve(raw.audit, &mut section);
    let cluster = cluster::resolve(raw.cluster, &mut section);
    let allow_anonymous = raw.allow_anonymous.unwrap_or(false) || sources.allow_anonymous;
    if allow_anonymous && auth.asks() {
        warnings.push(place.at("allow_anonymous").error(Problem::Asked));
    }
    let known = (|name: &str| profiles.contains_key(name), |name: &str| tenants.contains_key(name));
    inbound::check_names(&auth, &place, known, &mut errors);
    refuse_duplicates(&entries, sources.demo, &mut errors);
    let mut servers = Vec::new();
    // What an error was told of would be another server without it.
    entries.retain(|entry| !(sources.leave_out && entry.damaged));
    for entry in entries {
        let at = entry.place.clone();
        let off = entry.raw.enabled == Some(false);
        match server::resolve(entry, &defaults, environment, &mut warnings) {
            Ok(resolved) => {
                servers.push(resolved.server);
                files.extend(resolved.files);
            }
            Err(found) if off => {
                let first = found.first().map(|error| error.problem.to_string());
                let problem = Problem::LeftOut(first.unwrap_or_default());
                warnings.push(at.error(problem));
            }
            Err(found) => errors.extend(found),
        }
    }
    let none = servers.is_empty() && registries.is_empty() && tenants.is_empty();
    if none && !sources.demo {
        warnings.push(place.error(Problem::Nothing));
    }
    let left_out = if sources.leave_out { of_entries(&mut errors, sources) } else { Vec::new() };
    let of_servers = servers.iter().flat_map(|server| server.filled_in.iter().cloned());
    let filled_in = filled_in.into_iter().map(SecretString::from).chain(of_servers).collect();
    match (listen, data) {
        (Some(listen), Some(data)) if errors.is_empty() => Ok(Loaded {
            config: Config {
                demo: sources.demo,
                listen,
                allow_anonymous,
                allowed_hosts: raw.allowed_hosts,
                allowed_origins: raw.allowed_origins,
                data,
                servers,
                crawl,
                defaults,
                trust,
                call,
                mcp,
                learn,
                embed,
                rerank,
                registries,
                profiles,
                token_key,
                auth,
                tenants,
                limits,
                tls,
                telemetry,
                audit,
                cluster,
            },
            warnings,
            left_out,
            files,
            filled_in,
        }),
        _ => Err(in_order(errors)),
    }
}

/// Reads the files of other clients.
fn of_clients(
    sources: &Sources,
    files: &mut Vec<PathBuf>,
    entries: &mut Vec<Entry>,
    told: &mut client::Told<'_>,
) {
    for path in &sources.mcp_config {
        let (shown, path) = (path.display().to_string(), sources.folder.join(path));
        let Some(text) = text_of(&shown, &path, told.errors) else {
            continue;
        };
        let base = folder_of(&path);
        let read = client::read(&shown, &path, &text, told).without_us(told);
        entries.extend(read.into_iter().map(|(id, place, raw)| Entry {
            id,
            place,
            base: base.clone(),
            raw,
            damaged: false,
        }));
        files.push(path);
    }
}

/// The encoder of a configuration; its servers are left aside.
pub struct EncoderPlaces {
    /// Where snapshots, caches and models live.
    pub data: PathBuf,
    /// The encoder.
    pub embed: EmbedConfig,
    /// The model that the file names, if it is not there: then there is none in `embed`.
    pub missing: Option<String>,
}

/// Reads what is said of the encoder. A model that is not there is no error here, so that it can
/// be fetched.
pub fn encoder_places(
    sources: &Sources,
    environment: &Environment<'_>,
) -> Result<EncoderPlaces, ConfigErrors> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let (mut files, mut entries) = (Vec::new(), Vec::new());
    let (raw, place, base) = own_file(sources, environment, &mut files, &mut entries, &mut errors);
    let mut check = Check { place: &place, errors: &mut errors };
    let data = check.data(&raw, &base, sources, environment);
    let data_folder = data.as_deref();
    let mut check =
        encoder::Check::new((&place, &base, data_folder), environment, &mut errors, &mut warnings);
    let embed = check.embed(raw.embed, sources);
    let mut missing = None;
    errors.retain(|error| match &error.problem {
        Problem::NoModel(name) => {
            missing = Some(name.clone());
            false
        }
        _ => true,
    });
    match data {
        Some(data) if errors.is_empty() => Ok(EncoderPlaces { data, embed, missing }),
        _ => Err(in_order(errors)),
    }
}

/// The configuration's file, as it is called and where it is, whether it is there or not.
pub fn file_of(sources: &Sources, environment: &Environment<'_>) -> (PathBuf, PathBuf) {
    let shown = named(sources, environment).unwrap_or_else(|| DEFAULT_FILE.into());
    let path = sources.folder.join(&shown);
    (shown, path)
}

fn named(sources: &Sources, environment: &Environment<'_>) -> Option<PathBuf> {
    sources.config.clone().or_else(|| set(environment, "TOOLSCOUT_CONFIG"))
}

/// Takes those errors that are about one entry.
fn of_entries(errors: &mut Vec<ConfigError>, sources: &Sources) -> Vec<ConfigError> {
    let of_client = |error: &ConfigError| {
        let files = sources.mcp_config.iter().map(|path| path.display().to_string());
        !error.key.is_empty() && files.into_iter().any(|file| file == error.file)
    };
    errors.extract_if(.., |error| error.key.starts_with("servers.") || of_client(error)).collect()
}

/// Errors as a reader meets them: file by file, each from its first line on.
pub(super) fn in_order(mut errors: Vec<ConfigError>) -> ConfigErrors {
    let mut files = Vec::new();
    for error in &errors {
        if !files.contains(&error.file) {
            files.push(error.file.clone());
        }
    }
    errors.sort_by_key(|error| {
        let file = files.iter().position(|file| *file == error.file);
        (file, error.line)
    });
    ConfigErrors(errors)
}

/// `toolscout.toml`, wherever it is; its servers go to `entries`.
pub(super) fn own_file(
    sources: &Sources,
    environment: &Environment<'_>,
    files: &mut Vec<PathBuf>,
    entries: &mut Vec<Entry>,
    errors: &mut Vec<ConfigError>,
) -> (RawConfig, Place, PathBuf) {
    let default = sources.folder.join(DEFAULT_FILE);
    let is_there = sources.text.is_some() || default.exists();
    let path = named(sources, environment).or_else(|| is_there.then(|| DEFAULT_FILE.into()));
    let nothing = |file: String| {
        let place = Place::new(file, Lines::new());
        (RawConfig::default(), place, sources.folder.clone())
    };
    let Some(path) = path.filter(|_| !sources.no_file) else {
        return nothing(DEFAULT_FILE.into());
    };
    let (shown, path) = (path.display().to_string(), sources.folder.join(path));
    let text = sources.text.clone().or_else(|| text_of(&shown, &path, errors));
    let Some(text) = text else {
        return nothing(shown);
    };
    let mut read = file::read(&shown, &text, errors);
    let base = folder_of(&path);
    let servers = std::mem::take(&mut read.raw.servers);
    entries.extend(servers.into_iter().map(|(id, raw)| Entry {
        place: read.place.at("servers").at(&id),
        base: base.clone(),
        damaged: read.damaged.contains(&id),
        raw,
        id,
    }));
    files.push(path);
    (read.raw, read.place, base)
}

/// The files that the configuration's own names for secrets outside `[servers]`.
fn named_files(raw: &RawConfig, base: &Path) -> impl Iterator<Item = PathBuf> {
    let key = raw.embed.endpoint.as_ref().and_then(|endpoint| endpoint.api_key_file.as_ref());
    key.into_iter().chain(&raw.token_key_file).map(move |path| base.join(path))
}

fn text_of(shown: &str, path: &Path, errors: &mut Vec<ConfigError>) -> Option<String> {
    let unreadable = |error: std::io::Error| {
        let reason = match error.kind() {
            std::io::ErrorKind::InvalidData => "it is not UTF-8 text".into(),
            _ => error.to_string(),
        };
        Place::new(shown, Lines::new()).error(Problem::Unreadable(reason))
    };
    std::fs::read_to_string(path)
        // Editors on Windows begin files with a byte order mark.
        .map(|text| text.strip_prefix('\u{feff}').map_or(text.clone(), Into::into))
        .map_err(|error| errors.push(unreadable(error)))
        .ok()
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// An environment variable as a path; an empty one counts as unset.
pub(super) fn set(environment: &Environment<'_>, name: &str) -> Option<PathBuf> {
    environment(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// `--catalog`: its id is the file's name without `.jsonl` and `.gz`.
fn catalog_entry(folder: &Path, path: &Path, servers: Option<&Path>) -> Entry {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    let text = |path: &Path| Some(path.display().to_string());
    Entry {
        id: stem.to_owned(),
        place: Place::new(format!("--catalog {}", path.display()), Lines::new()),
        base: folder.to_owned(),
        raw: RawServer {
            catalog: text(path),
            catalog_servers: servers.and_then(text),
            ..RawServer::default()
        },
        damaged: false,
    }
}

fn refuse_duplicates(entries: &[Entry], demo: bool, errors: &mut Vec<ConfigError>) {
    let mut first: HashMap<&str, String> =
        (crate::demo::names()).filter(|_| demo).map(|name| (name, "the demo".to_owned())).collect();
    for entry in entries {
        match first.get(entry.id.as_str()) {
            None => {
                first.insert(&entry.id, entry.place.shown());
            }
            Some(other) => errors.push(
                entry
                    .place
                    .error(Problem::Duplicate { id: entry.id.clone(), other: other.clone() }),
            ),
        }
    }
}
