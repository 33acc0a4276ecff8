//! What operators do: verify, restore, import and report, each as a command.

mod files;

use std::collections::BTreeMap;

use otdel::{postgres::Throwaway, private};
use otdel_api::{billing as bl, contracts as ct, leads as pb};
use otdel_tests::{
    cluster::{self, Database},
    door::Door,
    eventually::eventually,
    operator::{self, Ran},
    refusal::reason,
    split, staff,
    story::{Step, Story},
    suite::{Suite, Topology},
};
use tonic::{Code, Status};

use super::feed::{billing_events, contract_events, lead_events, submit};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_older_cursors_are_refused_and_followers_rebuild_to_equal_digests() {
    restored(Topology::AllInOne).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_five_processes_converge_too() {
    restored(Topology::Split).await;
}

async fn restored(topology: Topology) {
    let suite = with_an_invoice(topology).await;
    let read = Cursors::last(&suite.admin).await;
    let database = suite.stop().await;
    let before = verified(&database).await;
    let backup = database.copied().await;

    // What happens after the backup is lost.
    let suite = Suite::start_on(topology, database).await;
    let change = suite.admin.leads().submit_lead(submit("lost".into())).await.unwrap().into_inner().change;
    suite.settle().await;
    let lost = Cursors::last(&suite.admin).await;
    let refused = operator::on(&suite.database, &["new-epoch"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    for service in ["leads", "contracts", "billing", "reporting"] {
        assert!(refused.err.contains(&format!("{service} (")), "{refused:?}");
    }
    suite.stop().await;

    let finished = operator::on(&backup, &["restore-finish"]).await;
    assert_eq!(finished.code, 0, "{finished:?}");
    assert_eq!(finished.lines().iter().filter(|line| line.contains("every older cursor is refused")).count(), 4);
    let again = operator::on(&backup, &["restore-finish"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(again.lines().iter().filter(|line| line.contains("renewed in this database already")).count(), 4);
    let after = operator::on(&backup, &["verify"]).await;
    assert_eq!(after.code, 3, "followers have yet to read again: {after:?}");
    assert_eq!(without("cursor", &after.lines()), without("cursor", &before.lines()), "a copy holds the same");

    let old = generations(&backup).await;
    let suite = Suite::start_on(topology, backup).await;
    for cursors in [read, lost] {
        cursors.are_refused(&suite.admin).await;
    }
    suite.settle().await;
    // No read waits for what was lost, and none says that it has it.
    let ask = otdel_api::reporting::GetLeadReportRequest { at_least: vec![change], ..Default::default() };
    let status = suite.admin.reports().get_lead_report(ask).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let healed = eventually("every follower has read again", || async {
        let ran = operator::on(&suite.database, &["verify"]).await;
        if ran.code == 0 { Ok(ran) } else { Err(ran) }
    })
    .await;
    for (follower, generation) in generations(&suite.database).await {
        assert!(generation > old[&follower], "{follower} was not built again");
    }
    // A start makes a new development key in leads; whatever else there is must be the same.
    let followed = |ran: &Ran| without("leads", &without("cursor", &ran.lines()));
    assert_eq!(followed(&healed), followed(&before), "the digests are those of a build that saw no restore");
    super::story::a_rebuild_is_equal(&suite).await;

    let database = suite.stop().await;
    succeeds(operator::on(&database, &["new-epoch", "billing"]).await);
    let after = operator::on(&database, &["verify"]).await;
    assert_eq!(after.code, 3, "{after:?}");
    let pending: Vec<_> = after.lines().into_iter().filter(|line| line.starts_with("pending")).collect();
    assert!(
        !pending.is_empty() && pending.iter().all(|line| line.contains(" of billing is of an earlier epoch")),
        "{after:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_restored_into_a_fresh_cluster_in_the_order_that_the_help_tells() {
    let suite = Suite::start_on(Topology::AllInOne, Database::running().await).await;
    let staff = staff::department(&suite.admin).await;
    let today = otdel_runtime::convert::date(otdel_runtime::clock::system_now().date_naive());
    Story::new(&staff, today).tell_until(Step::Pay).await;
    let database = suite.stop().await;
    let before = verified(&database).await;

    let fresh = Throwaway::start("otdel-test-").await.unwrap();
    let restored = Database::fresh(fresh.cluster()).await;
    let folder = std::env::temp_dir().join(format!("otdel-restore-{}", staff::id()));
    private::make_folder(&folder).unwrap();
    split::make_secrets(&folder.join("secrets"));
    let (secrets, dump) = (folder.join("secrets"), folder.join("otdel.dump"));
    let (secrets, dump) = (secrets.to_str().unwrap(), dump.to_str().unwrap());
    let postgres = |program: &str, args: &[&str]| {
        let mut command = tokio::process::Command::new(fresh.cluster().binaries().program(program));
        command.args(args);
        operator::run(command)
    };
    succeeds(postgres("pg_dump", &["-Fc", "--file", dump, &database.url]).await);
    let early = operator::on(&restored, &["restore-finish"]).await;
    assert_eq!(early.code, 1, "{early:?}");
    assert!(early.err.contains("run `otdel migrate`"), "{early:?}");
    for _ in 0..2 {
        succeeds(operator::on(&restored, &["migrate", "--roles-only", "--secrets", secrets]).await);
    }
    let into = ["--exit-on-error", "--single-transaction", "--dbname", &restored.url, dump];
    succeeds(postgres("pg_restore", &into).await);
    let migrate = ["migrate", "--secrets", secrets, "--business-zone", cluster::ZONE];
    succeeds(operator::on(&restored, &migrate).await);
    succeeds(operator::on(&restored, &["restore-finish"]).await);
    let after = operator::on(&restored, &["verify"]).await;
    assert_eq!(after.code, 3, "{after:?}");
    assert_eq!(without("cursor", &after.lines()), without("cursor", &before.lines()), "a restored dump holds the same");

    let suite = Suite::start_on(Topology::AllInOne, restored).await;
    eventually("every follower has read again", || async {
        let ran = operator::on(&suite.database, &["verify"]).await;
        if ran.code == 0 { Ok(()) } else { Err(ran) }
    })
    .await;
    suite.stop().await;
    std::fs::remove_dir_all(folder).unwrap();
}

fn succeeds(ran: Ran) {
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_changed_is_found_by_verify() {
    let database = with_an_invoice(Topology::AllInOne).await.stop().await;
    verified(&database).await;
    let pool = database.pool("public").await;
    for change in [
        "update leads.outbox set deal = null
         where position = (select min(position) from leads.outbox where deal is not null)",
        "delete from contracts.outbox where position = (select max(position) from contracts.outbox)",
        "grant update on billing.ledger_entry to otdel_billing_app",
        "update billing.payment set allocated = allocated - 1 where allocated > 0",
        "update reporting.cursor set position = position - 1 where source = 'billing'",
        // The one change of a feed that its chain does not show: it is cut, and its end is moved there.
        "with cut as (delete from billing.outbox where position = (select max(position) from billing.outbox)
                      returning position - 1 as last)
         update billing.feed_head
         set (position, hash) = (select position, hash from billing.outbox, cut where position = last)",
    ] {
        sqlx::query(change).execute(&pool).await.unwrap();
    }
    let found = operator::on(&database, &["verify", "--format", "json"]).await;
    assert_eq!(found.code, 1, "{found:?}");
    let findings = found.lines().into_iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let findings: Vec<_> = findings.filter(|finding| finding["state"] == "wrong").collect();
    for (service, check, says) in [
        ("leads", "feed", "says otherwise than its event in deal"),
        ("contracts", "feed", "the feed ends at position"),
        ("billing", "rights", "otdel_billing_app may update billing.ledger_entry"),
        ("billing", "ledger", "payments are allocated otherwise than their allocations say"),
        ("billing", "ledger", "advance in RUB has"),
        ("leads", "cursor", "no restore was announced"),
        ("reporting", "cursor", "says otherwise than its token"),
    ] {
        let told = findings.iter().any(|one| {
            one["service"] == service && one["check"] == check && one["found"].as_str().unwrap().contains(says)
        });
        assert!(told, "{service} {check} {says}: {findings:#?}");
    }
}

async fn with_an_invoice(topology: Topology) -> Suite {
    let suite = Suite::start(topology).await;
    let staff = staff::department(&suite.admin).await;
    Story::new(&staff, suite.today().await).tell_until(Step::Pay).await;
    suite.settle().await;
    suite
}

async fn verified(database: &Database) -> Ran {
    let ran = operator::on(database, &["verify"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

/// The lines without those that have a word.
fn without(word: &str, lines: &[impl AsRef<str>]) -> Vec<String> {
    let kept = lines.iter().map(AsRef::as_ref).filter(|line| !line.split_whitespace().take(3).any(|one| one == word));
    kept.map(ToOwned::to_owned).collect()
}

/// Where somebody outside has read the feeds.
struct Cursors {
    leads: String,
    contracts: String,
    billing: String,
}

impl Cursors {
    async fn last(door: &Door) -> Self {
        Self {
            leads: lead_events(door).await.pop().unwrap().envelope.unwrap().cursor,
            contracts: contract_events(door).await.pop().unwrap().envelope.unwrap().cursor,
            billing: billing_events(door).await.pop().unwrap().envelope.unwrap().cursor,
        }
    }

    async fn are_refused(self, door: &Door) {
        let diverged = (Code::DataLoss, "CURSOR_DIVERGED".to_owned());
        let ask = pb::SubscribeRequest { start_after: self.leads, ..Default::default() };
        let refused = first(door.lead_events().subscribe(ask).await).await;
        assert_eq!(reason(&refused), diverged, "{refused:?}");
        let ask = ct::SubscribeRequest { start_after: self.contracts, ..Default::default() };
        let refused = first(door.contract_events().subscribe(ask).await).await;
        assert_eq!(reason(&refused), diverged, "{refused:?}");
        let ask = bl::SubscribeRequest { start_after: self.billing, ..Default::default() };
        let refused = first(door.billing_events().subscribe(ask).await).await;
        assert_eq!(reason(&refused), diverged, "{refused:?}");
    }
}

/// What a subscription is refused with.
async fn first<T>(opened: Result<tonic::Response<tonic::Streaming<T>>, Status>) -> Status {
    match opened {
        Err(status) => status,
        Ok(stream) => match stream.into_inner().message().await {
            Err(status) => status,
            Ok(_) => panic!("the cursor was accepted"),
        },
    }
}

/// Which builds of the read models are live.
async fn generations(database: &Database) -> BTreeMap<String, i64> {
    let sql = "select name, live from contracts.projection union all select name, live from billing.projection
               where name = 'billing.access' union all select name, live from reporting.projection";
    let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&database.pool("public").await).await.unwrap();
    assert_eq!(rows.len(), 3, "{rows:?}");
    rows.into_iter().collect()
}
