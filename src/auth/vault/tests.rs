use secrecy::SecretString;
use url::Url;

use super::super::record::Tokens;
use super::*;

fn record(access: &str) -> Record {
    let url = Url::parse("https://mcp.example.com/mcp").unwrap();
    let mut record = Record::empty("tracker", &url);
    record.tokens = Some(Tokens {
        access: access.into(),
        refresh: Some("refresh-secret".into()),
        received: Some(1),
        expires_in: Some(2),
        scopes: vec!["tools".into()],
    });
    record
}

fn vault(folder: &Path) -> Vault {
    Vault::open(folder.join("tokens"), TokenKey::File).unwrap()
}

#[test]
fn a_login_comes_back_and_nothing_of_it_is_readable() {
    let folder = tempfile::tempdir().unwrap();
    let mine = vault(folder.path());
    assert!(mine.read("tracker").unwrap().is_none());
    mine.write(&record("access-secret")).unwrap();
    assert_eq!(mine.read("tracker").unwrap(), Some(record("access-secret")));
    // Another process, with the same key file.
    assert_eq!(vault(folder.path()).read("tracker").unwrap(), Some(record("access-secret")));
    for entry in fs::read_dir(mine.folder()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!bytes.contains("secret") && !bytes.contains("example.com"), "{path:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(mine.folder()).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(mine.remove("tracker").unwrap() && !mine.remove("tracker").unwrap());
    assert!(mine.read("tracker").unwrap().is_none());
}

#[test]
fn a_login_of_a_newer_release_is_named_as_such_and_stays_until_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path());
    vault.write(&record("a")).unwrap();
    let path = vault.path("tracker", "login");
    fs::write(&path, b"toolscout login 2\nsealed in another way").unwrap();
    let error = vault.read("tracker").unwrap_err();
    assert!(matches!(error, VaultError::Newer(_)), "{error}");
    assert!(fs::read(&path).unwrap().ends_with(b"in another way"));
    vault.write(&record("b")).unwrap();
    assert_eq!(vault.read("tracker").unwrap(), Some(record("b")));
}

#[test]
fn open_doors_are_refused_with_the_command_that_shuts_them() {
    let folder = tempfile::tempdir().unwrap();
    vault(folder.path()).write(&record("a")).unwrap();
    let tokens = folder.path().join("tokens");
    let mut paths: Vec<_> = fs::read_dir(&tokens).unwrap().map(|e| e.unwrap().path()).collect();
    paths.push(tokens.clone());
    for path in paths {
        let right = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        for open in [right | 0o040, right | 0o004, right | 0o020] {
            fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
            let error = Vault::open(tokens.clone(), TokenKey::File).err().unwrap().to_string();
            let remedy = format!("run `chmod {right:o} {}`", path.display());
            assert!(error.contains(&remedy), "{error}");
        }
        fs::set_permissions(&path, Permissions::from_mode(right)).unwrap();
    }
    assert!(Vault::open(tokens, TokenKey::File).is_ok());
}

#[test]
fn a_given_key_is_used_and_another_one_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let open = |key: &str| {
        Vault::open(folder.path().join("tokens"), TokenKey::Given(SecretString::from(key)))
    };
    let hex = "0123456789abcdef".repeat(4);
    open(&hex).unwrap().write(&record("a")).unwrap();
    assert!(!folder.path().join("tokens/key").exists());
    assert!(open(&hex).unwrap().read("tracker").unwrap().is_some());
    let other = "A".repeat(43) + "=";
    let error = open(&other).unwrap().read("tracker").err().unwrap();
    assert!(error.to_string().contains("another key"), "{error}");
    for wrong in ["short", "", &"A".repeat(42), &"g".repeat(64), &"é".repeat(32)] {
        assert!(matches!(open(wrong), Err(VaultError::Key(_))), "{wrong}");
    }
}

#[test]
fn damage_and_a_swapped_file_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mine = vault(folder.path());
    mine.write(&record("a")).unwrap();
    let path = mine.path("tracker", "login");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let read = mine.read("tracker");
        assert!(matches!(read, Err(VaultError::Sealed(_) | VaultError::Newer(_))), "byte {at}");
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(mine.read("tracker"), Err(VaultError::Sealed(_))), "{length} bytes");
    }
    // One server's login under another's name.
    fs::write(mine.path("other", "login"), &whole).unwrap();
    assert!(matches!(mine.read("other"), Err(VaultError::Sealed(_))));
}

#[test]
fn a_failed_write_leaves_the_old_login() {
    let folder = tempfile::tempdir().unwrap();
    let mine = vault(folder.path());
    mine.write(&record("old")).unwrap();
    // In the way of the rename, as a disk error is: after the new file was written.
    let path = mine.path("tracker", "login");
    let aside = folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("in the way"), "").unwrap();
    assert!(matches!(mine.write(&record("new")), Err(VaultError::Io { .. })));
    fs::remove_dir_all(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    assert_eq!(mine.read("tracker").unwrap(), Some(record("old")));
    // Nothing is left lying about.
    let left: Vec<_> =
        fs::read_dir(mine.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn two_processes_make_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let vaults: Vec<_> = (0..8).map(|_| vault(folder.path())).collect();
    std::thread::scope(|scope| {
        for (at, vault) in vaults.iter().enumerate() {
            scope.spawn(move || {
                let mut record = record("a");
                record.server = format!("server {at}");
                vault.write(&record).unwrap();
            });
        }
    });
    let reader = vault(folder.path());
    for at in 0..8 {
        assert!(reader.read(&format!("server {at}")).unwrap().is_some());
    }
}
