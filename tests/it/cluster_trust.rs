//! What replicas do not take from each other, and from whoever says that it is the database.

use std::path::Path;

use crate::support::cluster::{Postgres, QUICK, Replica, Upstreams, definition};
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Service, configure, serve};

async fn started(folder: &Path, text: &str) -> Service {
    configure(folder, text);
    Service::of(serve(folder, &[])).await
}

#[tokio::test]
async fn a_listing_for_one_login_is_served_to_no_other() {
    let Some(postgres) = Postgres::start(&["--fast"]).await else { return };
    let mock = MockHttp::start(Speaks::Stateless, false, |_| {
        let listing =
            format!(r#"{{"tools":[{}],"ttlMs":60000,"cacheScope":"private"}}"#, definition("open"));
        Answer::Result(listing)
    })
    .await;
    let with = |replica: &str, token: &str| {
        format!(
            "[cluster]\nreplica = \"{replica}\"\ndatabase_url = \"{}\"\n{QUICK}\n\
             [servers.safe]\nurl = \"{}\"\nheaders = {{ Authorization = \"Bearer {token}\" }}\n",
            postgres.url, mock.url
        )
    };
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let ours = started(folders[0].path(), &with("a", "ours")).await;
    ours.until_state("safe", "ready").await;
    let same = started(folders[1].path(), &with("b", "ours")).await;
    same.until_state("safe", "ready").await;
    let other = started(folders[2].path(), &with("c", "another")).await;
    other.until_state("safe", "auth_required").await;
    for (service, tools) in [(&ours, 1), (&same, 1), (&other, 0)] {
        assert_eq!(service.tools().await.len(), tools);
    }
}

#[tokio::test]
async fn the_certificate_of_the_database_is_checked() {
    let Some(postgres) = Postgres::start(&["--fast", "--tls"]).await else { return };
    let upstreams = Upstreams::start(1, &["open"]).await;
    let with = format!("database_url = \"{}?sslmode=require\"\n{QUICK}", postgres.url);
    let unknown = Replica::start("a", &with, &upstreams).await;
    unknown.service.until_logged("invalid peer certificate").await;
    unknown.service.until_logged("the database can't be asked").await;

    let with = format!("{with}\nca_file = {:?}", postgres.certificate());
    let known = Replica::start("b", &with, &upstreams).await;
    known.until_tools(&upstreams.ids()).await;
    assert!(unknown.service.tools().await.is_empty());
}
