//! What no text about a server may hold: its credentials, and whatever looks like one.
//!
//! Invariant: what `config check` masks of an entry by [`secret`] is in here.

use secrecy::ExposeSecret;

use super::{Proxy, ServerConfig, Transport, secret};

impl ServerConfig {
    /// The values, in every way that they are written to the server.
    pub fn secrets(&self) -> Vec<String> {
        let filled = self.filled_in.iter().map(|value| value.expose_secret().to_owned());
        let mut all: Vec<String> = filled.collect();
        match &self.transport {
            Transport::Stdio { args, env, .. } => {
                all.extend(env.iter().map(|(_, value)| value.expose_secret().to_owned()));
                let found = secret::in_args(args).into_iter();
                all.extend(found.map(|(place, found)| args[place][found.range].to_owned()));
            }
            Transport::Http { url, headers } => {
                for (_, value) in headers {
                    let value = value.expose_secret();
                    all.push(value.to_owned());
                    all.extend(value.split_once(' ').map(|(_, token)| token.to_owned()));
                }
                let mut path = url.clone();
                for value in &self.filled_in {
                    path.set_path(value.expose_secret());
                    all.push(path.path().trim_start_matches('/').to_owned());
                }
                let found = secret::in_url(url.as_str()).into_iter();
                all.extend(found.map(|found| url.as_str()[found.range].to_owned()));
                all.extend(url.query().map(str::to_owned));
                let pairs = url.query().into_iter().flat_map(|query| query.split('&'));
                all.extend(pairs.filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
                all.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
                all.extend(url.password().map(str::to_owned));
                all.push(url.username().to_owned());
                if let Proxy::Through(proxy) = &self.network.proxy {
                    all.extend(proxy.password().map(str::to_owned));
                    all.push(proxy.username().to_owned());
                }
            }
            Transport::Catalog { .. } => {}
        }
        all
    }
}
