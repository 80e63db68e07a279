//! What breaks replicas in the middle of their work: none of it loses or doubles a tool, and all come
//! to the same again.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::cluster::{Postgres, QUICK, Replica, Upstreams};
use crate::support::faults::{LONG_ROUNDS, ROUNDS, kill};

fn at(url: &str) -> String {
    format!("database_url = \"{url}\"\n{QUICK}")
}

/// What the database has, in order.
async fn stored(postgres: &Postgres) -> Vec<String> {
    let sql = "select string_agg(server || '/' || convert_from(name, 'UTF8'), ' '
                 order by server || '/' || convert_from(name, 'UTF8') collate \"C\") from toolscout.tool";
    let all = postgres.one(sql).await;
    all.split(' ').map(str::to_owned).collect()
}

/// Replicas are killed, one after the other, at moments of chance, while tools change all the time.
async fn killed(rounds: usize) {
    let Some(postgres) = Postgres::start(&["--fast"]).await else { return };
    let upstreams = Upstreams::start(6, &["t0"]).await;
    let with = at(&postgres.url);
    let mut replicas = Vec::new();
    for name in ["a", "b", "c"] {
        replicas.push(Replica::start(name, &with, &upstreams).await);
    }
    let mut random = fastrand::Rng::with_seed(9);
    for round in 1..=rounds {
        let tools: Vec<String> =
            (0..random.usize(1..20)).map(|at| format!("t{round}-{at}")).collect();
        upstreams.set(&tools.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::time::sleep(Duration::from_millis(random.u64(0..1_500))).await;
        let victim = replicas.remove(0);
        kill(victim.service).await;
        // What it had on its disk is gone with it.
        replicas.push(Replica::start(&format!("r{round}"), &with, &upstreams).await);
    }
    upstreams.set(&["last", "of", "all"]);
    for replica in &replicas {
        replica.until_tools(&upstreams.ids()).await;
        replica.until_leases(2).await;
        replica.until_well().await;
    }
    assert_eq!(stored(&postgres).await, upstreams.ids());
}

#[tokio::test]
async fn killed_replicas_lose_and_double_nothing() {
    killed(ROUNDS).await;
}

#[tokio::test]
#[ignore = "takes minutes: scripts/test-long.sh"]
async fn long_killed_replicas_lose_and_double_nothing() {
    killed(LONG_ROUNDS).await;
}

#[tokio::test]
async fn one_that_slept_past_its_leases_writes_nothing_of_what_it_still_had() {
    let Some(postgres) = Postgres::start(&["--fast"]).await else { return };
    let upstreams = Upstreams::start(4, &["open"]).await;
    let with = at(&postgres.url);
    let sleeper = Replica::start("sleeper", &with, &upstreams).await;
    sleeper.until_tools(&upstreams.ids()).await;
    sleeper.until_leases(4).await;

    let epochs = "select count(*) from toolscout.server";
    let before = postgres.one("select max(epoch) from toolscout.server").await;
    // As a machine that is suspended, or a process that waits for its memory.
    sleeper.service.signal(Signal::STOP);
    let other = Replica::start("other", &with, &upstreams).await;
    other.until_leases(4).await;
    assert_eq!(postgres.one(&format!("{epochs} where epoch > {before}")).await, "4");
    upstreams.set(&["open", "new"]);
    other.until_tools(&upstreams.ids()).await;
    sleeper.service.signal(Signal::CONT);

    sleeper.until_tools(&upstreams.ids()).await;
    for replica in [&sleeper, &other] {
        replica.until_leases(2).await;
    }
    assert_eq!(stored(&postgres).await, upstreams.ids());
}

#[tokio::test]
async fn without_notifications_the_versions_are_looked_at() {
    let Some(postgres) = Postgres::start(&["--fast"]).await else { return };
    let upstreams = Upstreams::start(2, &["open"]).await;
    let with = at(&postgres.url);
    let replicas = [
        Replica::start("a", &with, &upstreams).await,
        Replica::start("b", &with, &upstreams).await,
    ];
    for replica in &replicas {
        replica.until_leases(1).await;
    }
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where query ilike 'listen%' and usename = current_user";
    assert_eq!(postgres.one(cut).await, "2");
    upstreams.set(&["open", "new"]);
    for replica in &replicas {
        replica.until_tools(&upstreams.ids()).await;
    }
}
