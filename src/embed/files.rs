//! Where a model's folder and the ONNX Runtime library lie.
//!
//! Invariant: what the configuration names is used or is an error; only what it does not name is
//! looked for.

use std::path::{Path, PathBuf};

use super::EmbedError;

/// Folders that hold `model/` and `runtime/`, the first one that does wins.
pub(super) fn usual_places(data: &Path) -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("index-data/cache")];
    if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        places.extend([folder.join("index-data/cache"), folder.to_owned()]);
    }
    places.push(data.join("cache"));
    if let Some(user) = directories::ProjectDirs::from("", "", "toolscout") {
        places.push(user.data_dir().join("cache"));
    }
    places
}

/// The folder of the encoder: one that was named is checked when it is loaded.
pub(super) fn model(named: Option<&Path>, places: &[PathBuf]) -> Result<PathBuf, EmbedError> {
    if let Some(folder) = named {
        return Ok(folder.to_owned());
    }
    let mut folders = places.iter().map(|place| place.join("model"));
    folders.find(|folder| folder.join("model.onnx").exists()).ok_or(EmbedError::Missing {
        what: "embedding model",
        flag: "--model",
        variable: "TOOLSCOUT_MODEL",
    })
}

/// The ONNX Runtime library.
pub(super) fn runtime(named: Option<&Path>, places: &[PathBuf]) -> Result<PathBuf, EmbedError> {
    let found = match named {
        Some(path) => path.exists().then(|| path.to_owned()),
        None => ["so", "dylib"]
            .iter()
            .flat_map(|end| places.iter().map(move |place| (place, end)))
            .map(|(place, end)| place.join(format!("runtime/libonnxruntime.{end}")))
            .find(|path| path.exists()),
    };
    found.ok_or(EmbedError::Missing {
        what: "ONNX Runtime library",
        flag: "--runtime",
        variable: "TOOLSCOUT_RUNTIME",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) {
        std::fs::create_dir_all(folder.join("model")).unwrap();
        std::fs::create_dir_all(folder.join("runtime")).unwrap();
        std::fs::write(folder.join("model/model.onnx"), "").unwrap();
        std::fs::write(folder.join("runtime/libonnxruntime.so"), "").unwrap();
    }

    #[test]
    fn the_first_place_wins_and_a_named_one_before_all() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let places = [first.path().to_owned(), second.path().to_owned()];
        for error in [model(None, &places).unwrap_err(), runtime(None, &places).unwrap_err()] {
            assert!(error.to_string().contains("scripts/fetch.sh"), "{error}");
        }
        place(second.path());
        assert_eq!(model(None, &places).unwrap(), second.path().join("model"));
        assert!(runtime(None, &places).unwrap().starts_with(second.path()));
        place(first.path());
        assert_eq!(model(None, &places).unwrap(), first.path().join("model"));
        assert!(runtime(None, &places).unwrap().starts_with(first.path()));
        let named = second.path().join("model");
        assert_eq!(model(Some(&named), &places).unwrap(), named);
        let absent = first.path().join("absent");
        let error = runtime(Some(&absent), &places).unwrap_err();
        assert!(error.to_string().contains("--runtime"), "{error}");
    }
}
