//! The key of logins in the keyring of a desktop: GNOME's, on a bus of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::config_check::toolscout;
use crate::support::oauth::{Browser, Site, begin_as};

/// A desktop with an unlocked keyring; it ends when this is dropped.
struct Desktop {
    address: String,
    home: tempfile::TempDir,
    children: Vec<Child>,
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Desktop {
    /// `None` where there is no such keyring to be had.
    fn start() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let mut desktop = Self { address: address.trim().into(), home, children: vec![bus] };
        let mut keyring = Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .env("DBUS_SESSION_BUS_ADDRESS", &desktop.address)
            .env("HOME", desktop.home.path())
            .env("XDG_DATA_HOME", desktop.home.path())
            .env("XDG_RUNTIME_DIR", desktop.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        keyring.stdin.take().unwrap().write_all(b"a password").unwrap();
        // It says where it is when it is there.
        let mut said = String::new();
        BufReader::new(keyring.stdout.take().unwrap()).read_line(&mut said).unwrap();
        desktop.children.push(keyring);
        Some(desktop)
    }

    fn toolscout(&self, folder: &Path) -> Command {
        let mut command = toolscout(folder);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command
    }
}

#[tokio::test]
async fn the_key_is_in_the_keyring_and_not_on_disk() {
    let Some(site) = Site::start().await else { return };
    let Some(desktop) = Desktop::start() else {
        eprintln!("skipped: gnome-keyring or dbus is not installed");
        return;
    };
    let folder = site.configured("");
    let status = |mut command: Command| {
        let output = command.args(["auth", "status", "--json", "--data", "data"]).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };

    let waiting = begin_as(desktop.toolscout(folder.path()), &["--no-browser"]).await.unwrap();
    Browser::new().open(&waiting.url).await;
    assert_eq!(waiting.ended().await.code, 0);

    let file = std::fs::read_to_string(folder.path().join("data/tokens/key")).unwrap();
    assert!(file.starts_with("keyring login key "), "{file}");
    let said = status(desktop.toolscout(folder.path()));
    assert!(said.contains(r#""state": "logged in""#), "{said}");
    assert!(said.contains(r#""key": "keyring""#), "{said}");
    // Elsewhere the login is of no use, and nothing is lost by trying.
    let mut elsewhere = toolscout(folder.path());
    elsewhere.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    let said = status(elsewhere);
    assert!(said.contains("the key of the logins is in the keyring"), "{said}");
    assert!(said.contains("TOOLSCOUT_TOKEN_KEY"), "{said}");
    let said = status(desktop.toolscout(folder.path()));
    assert!(said.contains(r#""state": "logged in""#), "{said}");
}
