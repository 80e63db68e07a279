//! Replicas that share a catalog in PostgreSQL: one crawls each server, all answer, and what breaks
//! takes nothing away. Real processes and a real database.

use rustix::process::Signal;
use serde_json::json;

use crate::support::cluster::{Postgres, QUICK, Replica, Upstreams, definition};
use crate::support::faults::{ask, kill};

fn at(url: &str) -> String {
    format!("database_url = \"{url}\"\n{QUICK}")
}

async fn three(url: &str, upstreams: &Upstreams) -> Vec<Replica> {
    let mut replicas = Vec::new();
    for name in ["a", "b", "c"] {
        replicas.push(Replica::start(name, &at(url), upstreams).await);
    }
    for replica in &replicas {
        replica.until_tools(&upstreams.ids()).await;
    }
    replicas
}

#[tokio::test]
async fn each_server_is_crawled_by_one_and_all_have_its_tools() {
    let Some(postgres) = Postgres::start(&["--fast"]).await else { return };
    let upstreams = Upstreams::start(9, &["open", "shut"]).await;
    let replicas = three(&postgres.url, &upstreams).await;
    for replica in &replicas {
        replica.until_leases(3).await;
        replica.until_well().await;
    }
    let held = "select count(*) from toolscout.server where holder is not null";
    replicas[0].service.until("all are held", async || postgres.one(held).await == "9").await;
    let stored = "select definition from toolscout.tool where server = 's4' and name = 'open'";
    assert_eq!(postgres.one(stored).await, definition("open"));

    // One of them hears of it.
    upstreams.set(&["open", "lock", "shut"]);
    for replica in &replicas {
        replica.until_tools(&upstreams.ids()).await;
    }

    for replica in replicas {
        replica.service.stop().await;
    }
    assert_eq!(postgres.one(held).await, "0", "what was held is given back");
}

#[tokio::test]
async fn the_servers_of_one_that_dies_are_taken_over() {
    let Some(postgres) = Postgres::start(&["--fast"]).await else { return };
    let upstreams = Upstreams::start(6, &["open"]).await;
    let mut replicas = three(&postgres.url, &upstreams).await;
    for replica in &replicas {
        replica.until_leases(2).await;
    }
    kill(replicas.remove(1).service).await;
    for replica in &replicas {
        replica.until_leases(3).await;
    }
    upstreams.set(&["open", "late"]);
    for replica in &replicas {
        replica.until_tools(&upstreams.ids()).await;
    }
    let newcomer = Replica::start("d", &at(&postgres.url), &upstreams).await;
    newcomer.until_tools(&upstreams.ids()).await;
    for replica in replicas.iter().chain([&newcomer]) {
        replica.until_leases(2).await;
    }
}

#[tokio::test]
async fn without_the_database_all_answer_as_before_and_catch_up_after() {
    let Some(postgres) = Postgres::start(&[]).await else { return };
    let upstreams = Upstreams::start(3, &["open"]).await;
    let replicas = three(&postgres.url, &upstreams).await;
    let before = upstreams.ids();

    postgres.script(&["kill"]).await;
    for replica in &replicas {
        let told = async || replica.troubles().await == ["database"];
        replica.service.until("the database is missed", told).await;
        replica.until_leases(0).await;
        assert_eq!(replica.service.tools().await, before);
        assert_eq!(replica.service.search("s1/open").await["tools"][0]["id"], "s1/open");
    }
    // Nobody crawls meanwhile, and one that begins now answers as its last run did.
    let crawled = upstreams.listings();
    upstreams.set(&["open", "new"]);
    let mut replicas = replicas.into_iter();
    let restarted = replicas.next().unwrap();
    let restarted = restarted.again().await;
    restarted.service.until_ready().await;
    assert_eq!(restarted.service.tools().await, before);
    assert_eq!(upstreams.listings(), crawled);

    postgres.script(&["restart"]).await;
    for replica in replicas.chain([restarted]) {
        replica.until_tools(&upstreams.ids()).await;
        replica.until_well().await;
    }
}

#[tokio::test]
async fn who_lost_the_lease_publishes_nothing() {
    let Some(postgres) = Postgres::start(&["--fast"]).await else { return };
    let upstreams = Upstreams::start(1, &["open"]).await;
    // It renews what it holds so seldom that it does not notice.
    let slow = at(&postgres.url).replace("lease = \"2s\"", "lease = \"1h\"");
    let replica = Replica::start("a", &slow, &upstreams).await;
    replica.until_tools(&upstreams.ids()).await;
    let before = upstreams.ids();

    // Somebody else has taken it, which this one has not seen yet.
    let taken = "update toolscout.server set holder = 'other', epoch = epoch + 1 returning epoch";
    postgres.one(taken).await;
    upstreams.set(&["late"]);
    replica.service.until_logged("another replica crawls it by now").await;
    assert_eq!(
        postgres.one("select string_agg(encode(name, 'escape'), ',') from toolscout.tool").await,
        "open"
    );
    assert_eq!(replica.service.tools().await, before);
}

#[tokio::test]
async fn through_a_pooler_with_a_standby_to_read_from() {
    let Some(postgres) = Postgres::start(&["--fast"]).await else { return };
    let pooler = postgres.script(&["pooler"]).await;
    let standby = postgres.script(&["standby"]).await;
    let upstreams = Upstreams::start(12, &["open"]).await;
    let with = format!("{}\nread_url = \"{standby}\"", at(&pooler));
    let mut replicas = Vec::new();
    for name in ["a", "b"] {
        replicas.push(Replica::start(name, &with, &upstreams).await);
    }
    for replica in &replicas {
        replica.until_tools(&upstreams.ids()).await;
        replica.until_leases(6).await;
    }
    upstreams.set(&["open", "more"]);
    for replica in &replicas {
        replica.until_tools(&upstreams.ids()).await;
    }

    // The standby takes over: the pooler follows it.
    postgres.script(&["kill"]).await;
    postgres.script(&["promote"]).await;
    upstreams.set(&["open", "more", "after"]);
    for replica in &replicas {
        replica.until_tools(&upstreams.ids()).await;
        replica.until_well().await;
    }
    for replica in &replicas {
        replica.service.signal(Signal::TERM);
    }
}

#[tokio::test]
async fn somebody_asks_one_replica_for_what_another_crawls() {
    let Some(postgres) = Postgres::start(&["--fast"]).await else { return };
    let upstreams = Upstreams::start(2, &["open"]).await;
    let replicas = [
        Replica::start("a", &at(&postgres.url), &upstreams).await,
        Replica::start("b", &at(&postgres.url), &upstreams).await,
    ];
    for replica in &replicas {
        replica.until_tools(&upstreams.ids()).await;
        replica.until_leases(1).await;
    }
    let before = upstreams.listings();
    for server in ["s0", "s1"] {
        let path = format!("/v1/admin/servers/{server}/refresh");
        let at = (replicas[0].folder.path(), replicas[0].service.url.as_str());
        let answer = ask(at.0, at.1, reqwest::Method::POST, &path, Some(json!({}))).await;
        assert_eq!(answer.unwrap().0, 200);
    }
    let crawled = async || upstreams.listings() >= before + 2;
    replicas[0].service.until("both are crawled again", crawled).await;
}
