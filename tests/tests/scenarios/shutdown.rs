//! A role that is asked to end under load answers everything that it has let in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use otdel::cli::Role;
use otdel_tests::{
    eventually::eventually,
    refusal::is_passing,
    staff,
    suite::{Suite, Topology},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn a_role_ends_within_its_drain_and_every_admitted_call_is_answered() {
    for role in [Role::Leads, Role::Gateway] {
        ends_cleanly(role).await;
    }
}

async fn ends_cleanly(role: Role) {
    let mut suite = Suite::start(Topology::Split).await;
    staff::department(&suite.admin).await;
    // A peer that says nothing, and one that speaks HTTP/2 and then says nothing, stay connected all the while.
    let silent = TcpStream::connect(suite.split().address(role)).await.unwrap();
    let mut halfway = TcpStream::connect(suite.split().address(role)).await.unwrap();
    halfway.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = (0..8).map(|caller| {
        let (door, stop, answered) = (suite.admin.clone(), stop.clone(), answered.clone());
        tokio::spawn(async move {
            let mut outcomes = Outcomes::default();
            while !stop.load(Ordering::SeqCst) {
                let request = super::feed::submit(format!("drain-{caller}-{}", outcomes.sent()));
                let id = request.request_id.parse().unwrap();
                // Nothing is sent twice, so that a call that was let in and not answered shows.
                match door.leads().submit_lead(request).await {
                    Ok(_) => outcomes.answered.push(id),
                    Err(status) if is_passing(&status) => outcomes.failed.push(id),
                    Err(status) => panic!("{status:?}"),
                }
                answered.store(outcomes.answered.len(), Ordering::SeqCst);
            }
            outcomes
        })
    });
    let load: Vec<_> = load.collect();
    let enough = async |more: usize| {
        let start = answered.load(Ordering::SeqCst);
        eventually("the load runs", || async {
            let so_far = answered.load(Ordering::SeqCst);
            if so_far > start + more { Ok(()) } else { Err(so_far) }
        })
        .await;
    };
    enough(20).await;

    let (status, took) = suite.split().terminate(role).await;
    assert!(status.success(), "{role:?} ended with {status}");
    assert!(took < Duration::from_secs(12), "{role:?} took {took:?}");
    suite.split().run(role).await;
    enough(5).await;
    stop.store(true, Ordering::SeqCst);
    let outcomes: Vec<Outcomes> = join_all(load).await.into_iter().map(|one| one.unwrap()).collect();
    drop((silent, halfway));

    let done = |ids: Vec<uuid::Uuid>| {
        let database = &suite.database;
        async move {
            let pool = database.pool("leads").await;
            sqlx::query_scalar::<_, i64>(
                "select count(*) from idempotency where request_id = any($1) and answer is not null",
            )
            .bind(ids)
            .fetch_one(&pool)
            .await
            .unwrap()
        }
    };
    let answered: Vec<_> = outcomes.iter().flat_map(|one| one.answered.clone()).collect();
    let failed: Vec<_> = outcomes.iter().flat_map(|one| one.failed.clone()).collect();
    assert_eq!(done(answered.clone()).await, i64::try_from(answered.len()).unwrap(), "what was answered is there");
    assert_eq!(done(failed.clone()).await, 0, "one of {} calls without an answer had been let in", failed.len());
    suite.stop().await;
}

/// What became of one caller's calls.
#[derive(Default)]
struct Outcomes {
    answered: Vec<uuid::Uuid>,
    failed: Vec<uuid::Uuid>,
}

impl Outcomes {
    fn sent(&self) -> usize {
        self.answered.len() + self.failed.len()
    }
}
