//! Roles and PostgreSQL that die between any two steps of the story, and commits that fail on either side.

use otdel::cli::Role;
use otdel_api::{billing as bl, reporting as rp};
use otdel_runtime::faults::CommitFault;
use otdel_tests::{
    cluster, staff,
    story::{STEPS, Story},
    suite::{Suite, Topology},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_any_role_after_any_step_loses_nothing() {
    let mut suite = Suite::start(Topology::Split).await;
    let staff = staff::department(&suite.admin).await;
    let today = suite.today().await;
    for role in Role::ALL {
        let mut story = Story::new(&staff, today);
        for step in STEPS {
            story.step(step).await;
            suite.split().kill(role).await;
            suite.split().run(role).await;
        }
        story.oracle.every_answer_stands().await;
        everything_is_there_once(&suite, &story).await;
    }
    super::story::a_rebuild_is_equal(&suite).await;
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_on_either_side_is_done_once() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let today = suite.today().await;
    // How many commits of each role one telling takes, so that each of them fails once before and once after.
    let counts = || suite.faults.iter().map(|(_, faults)| faults.commits()).collect::<Vec<_>>();
    let before = counts();
    Story::new(&staff, today).tell().await;
    let commits: Vec<_> = counts().iter().zip(before).map(|(after, before)| after - before).collect();
    let mut failed = 0;
    for (at, (role, faults)) in suite.faults.iter().enumerate() {
        for (skip, fault) in (0..commits[at]).flat_map(|skip| [(skip, CommitFault::Before), (skip, CommitFault::After)])
        {
            let mut story = Story::new(&staff, today);
            faults.plan(skip, fault);
            story.tell().await;
            story.oracle.every_answer_stands().await;
            everything_is_there_once(&suite, &story).await;
            // The last commits of a telling may be a follower's that came later this time.
            if !faults.is_planned() {
                failed += 1;
            }
            let _ = role;
        }
    }
    assert!(failed > 30, "only {failed} commits failed");
    super::story::a_rebuild_is_equal(&suite).await;
    suite.stop().await;
}

/// Whatever its builder is told of it, what is live after each commit of a rebuild is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_whose_commits_fail_on_either_side_leaves_a_full_read_model() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    story.tell().await;
    let projection = async || {
        let ask = rp::GetProjectionRequest { at_least: vec![story.change.clone()] };
        suite.admin.projections().get_projection(ask).await.unwrap().into_inner().projection.unwrap()
    };
    let told = projection().await;
    let (_, faults) = suite.faults.iter().find(|(role, _)| *role == Role::Reporting).unwrap();
    let before = faults.commits();
    super::story::a_rebuild_is_equal(&suite).await;
    let commits = faults.commits() - before;
    assert!(commits > 1, "the switch and what it is filled with");
    for (skip, fault) in (0..commits).flat_map(|skip| [(skip, CommitFault::Before), (skip, CommitFault::After)]) {
        faults.plan(skip, fault);
        super::story::a_rebuild_is_equal(&suite).await;
        assert_eq!(projection().await.digest, told.digest, "{fault:?} at commit {skip} of {commits}");
    }
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_postgresql_after_any_step_loses_nothing() {
    // A cluster of its own: the others would not understand.
    let cluster = cluster::Own::start().await;
    let suite = Suite::start_on(Topology::AllInOne, cluster.database().await).await;
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    for step in STEPS {
        story.step(step).await;
        cluster.kill_and_restart().await;
        suite.answers().await;
    }
    story.oracle.every_answer_stands().await;
    everything_is_there_once(&suite, &story).await;
    super::story::a_rebuild_is_equal(&suite).await;
    suite.stop().await;
}

/// The story's money and events are there exactly once.
async fn everything_is_there_once(suite: &Suite, story: &Story) {
    let invoices = bl::ListInvoicesRequest { deal: story.deal.clone(), ..Default::default() };
    let invoices = suite.admin.invoices().list_invoices(invoices).await.unwrap().into_inner().invoices;
    assert_eq!(invoices.len(), 1, "{invoices:?}");
    assert_eq!(invoices[0].state(), bl::invoice::State::Paid);
    let payments = bl::ListPaymentsRequest { client: story.client.clone(), ..Default::default() };
    let payments = suite.admin.payments().list_payments(payments).await.unwrap().into_inner().payments;
    assert_eq!(payments.len(), 2, "{payments:?}");
    let trial = suite.admin.ledger().get_trial_balance(bl::GetTrialBalanceRequest {}).await.unwrap().into_inner();
    let sum: i64 = trial
        .balances
        .iter()
        .filter_map(|one| one.balance.as_ref())
        .map(|money| money.units * 100 + i64::from(money.nanos / 10_000_000))
        .sum();
    assert_eq!(sum, 0, "{trial:?}");
    for service in ["leads", "contracts", "billing"] {
        let pool = suite.database.pool(service).await;
        otdel_runtime::feed::verify(&mut pool.acquire().await.unwrap(), |_, _| {})
            .await
            .unwrap_or_else(|broken| panic!("{service}: {broken:?}"));
        pool.close().await;
    }
}
