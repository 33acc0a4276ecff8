//! Doing at once what is asked at the same time.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{Semaphore, oneshot},
    task,
};
use tonic::Code;

use crate::fault::Fault;

/// Gathers what is asked while earlier lots are being done, so that many calls share one statement, or one transaction and
/// its commit. For the few RPCs that would otherwise wait for each other at one row, or that are asked so often that the way
/// to the database costs more than what is done there: alone in its lot a call is as fast as without this, and the more
/// there are the more go together.
///
/// No task waits for work. Whoever comes when a turn is free takes all who have come until then for a lot; the others wait
/// for their answers. The lot itself is a task of its own: none of its calls ends it, and what it logs is about none of them.
/// (Within a call's span each row that is read would enter that again, a tenth of what a list costs.)
#[derive(Debug)]
pub struct Together<Q, A> {
    most: usize,
    waiting: Mutex<VecDeque<Waiting<Q, A>>>,
    /// Each held by a lot that is being done.
    turns: Arc<Semaphore>,
}

#[derive(Debug)]
struct Waiting<Q, A> {
    ask: Q,
    answer: oneshot::Sender<Result<A, Fault>>,
}

impl<Q, A> Together<Q, A> {
    /// Lots of at most `most`, so many of them `at_once`: one where each would only wait for the one before it.
    pub fn new(most: usize, at_once: usize) -> Self {
        Self { most, waiting: Mutex::default(), turns: Arc::new(Semaphore::new(at_once)) }
    }

    /// Asks for something and gets its answer. `work` does a lot, in the order in which it was asked for, and gives as many
    /// answers in the same order.
    pub async fn ask<W>(&self, ask: Q, work: impl Fn(Vec<Q>) -> W) -> Result<A, Fault>
    where
        A: Send + 'static,
        W: Future<Output = Vec<A>> + Send + 'static,
    {
        let (answer, mut answered) = oneshot::channel();
        self.with_waiting(|waiting| waiting.push_back(Waiting { ask, answer }));
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answered => return answer.unwrap_or_else(|_| Err(lost())),
                turn = self.turns.clone().acquire_owned() => turn,
            };
            // Whoever is ready to ask gets into the lot.
            task::yield_now().await;
            // It may have come while the turn did.
            match answered.try_recv() {
                Ok(answer) => return answer,
                Err(oneshot::error::TryRecvError::Closed) => return Err(lost()),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let lot = self.with_waiting(|waiting| waiting.drain(..waiting.len().min(self.most)).collect::<Vec<_>>());
            if lot.is_empty() {
                // It is in a lot that is being done.
                drop(turn);
                return answered.await.unwrap_or_else(|_| Err(lost()));
            }
            let (asks, to): (Vec<Q>, Vec<_>) = lot.into_iter().map(|one| (one.ask, one.answer)).unzip();
            let work = work(asks);
            let lot = tokio::spawn(async move {
                answer_all(work, to).await;
                drop(turn);
            });
            // With its answer, or so that it can get into the next.
            let _ = lot.await;
        }
    }

    fn with_waiting<R>(&self, look: impl FnOnce(&mut VecDeque<Waiting<Q, A>>) -> R) -> R {
        look(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Does a lot and answers those who asked. Whoever is gone by then asked for it all the same.
async fn answer_all<A>(work: impl Future<Output = Vec<A>>, to: Vec<oneshot::Sender<Result<A, Fault>>>) {
    // Nothing of a lot that panicked is used again.
    let Ok(answers) = AssertUnwindSafe(work).catch_unwind().await else {
        tracing::error!(calls = to.len(), "lot panicked");
        // Of several nobody knows whose fault it is, so each may try again; alone, it is its own.
        let is_one = to.len() == 1;
        for to in to {
            let internal = || Fault::new(Code::Internal, "INTERNAL", "internal error");
            let _ = to.send(Err(if is_one { internal() } else { lost() }));
        }
        return;
    };
    for (to, answer) in to.into_iter().zip(answers) {
        let _ = to.send(Ok(answer));
    }
}

/// Gives each of a lot its own answer, or all of them the fault that they met together.
pub fn share<A>(lot: usize, done: Result<Vec<A>, Fault>) -> Vec<Result<A, Fault>> {
    match done {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(fault) => std::iter::repeat_with(|| Err(fault.clone())).take(lot).collect(),
    }
}

/// The lot panicked, so nobody knows what was done. The same request may be sent again.
fn lost() -> Fault {
    Fault::unavailable("ANSWER_LOST", "it is not known whether the request was carried out")
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use tokio::{sync::Semaphore, task::JoinSet};

    use super::*;

    fn ask_all(together: &Arc<Together<u32, u32>>, asks: std::ops::Range<u32>, door: &Arc<Semaphore>) -> JoinSet<u32> {
        let lots = Arc::new(AtomicUsize::new(0));
        let mut calls = JoinSet::new();
        for ask in asks {
            let (together, door, lots) = (together.clone(), door.clone(), lots.clone());
            calls.spawn(async move {
                let work = |lot: Vec<u32>| {
                    let (door, lots) = (door.clone(), lots.clone());
                    async move {
                        assert!(lot.len() <= 8);
                        assert_eq!(lots.fetch_add(1, SeqCst), 0, "two lots at once");
                        door.acquire().await.unwrap().forget();
                        lots.fetch_sub(1, SeqCst);
                        assert!(!lot.contains(&13), "an unlucky ask");
                        lot.into_iter().map(|ask| ask * 2).collect()
                    }
                };
                together.ask(ask, work).await.unwrap()
            });
        }
        calls
    }

    async fn until_waiting(together: &Together<u32, u32>, many: usize) {
        while together.with_waiting(|waiting| waiting.len()) < many {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn everybody_gets_their_own_answer_and_many_go_together() {
        let (together, door) = (Arc::new(Together::new(8, 1)), Arc::new(Semaphore::new(0)));
        let calls = ask_all(&together, 100..200, &door);
        // Whoever came first let the others ask before it took a lot.
        until_waiting(&together, 92).await;
        door.add_permits(13);
        let mut answers = calls.join_all().await;
        answers.sort_unstable();
        assert_eq!(answers, (100..200).map(|ask| ask * 2).collect::<Vec<_>>());
        assert_eq!(door.available_permits(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn lots_beside_each_other_are_never_empty_nor_more_than_may_be() {
        let (together, under_way) = (Arc::new(Together::new(4, 2)), Arc::new(AtomicUsize::new(0)));
        let mut calls = JoinSet::new();
        for ask in 0..1_000_u32 {
            let (together, under_way) = (together.clone(), under_way.clone());
            calls.spawn(async move {
                let work = |lot: Vec<u32>| {
                    let under_way = under_way.clone();
                    async move {
                        assert!((1..=4).contains(&lot.len()), "{lot:?}");
                        assert!(under_way.fetch_add(1, SeqCst) < 2, "three lots at once");
                        tokio::task::yield_now().await;
                        under_way.fetch_sub(1, SeqCst);
                        lot
                    }
                };
                together.ask(ask, work).await.unwrap() == ask
            });
        }
        assert!(calls.join_all().await.into_iter().all(|right| right));
    }

    #[tokio::test]
    async fn a_panic_loses_its_own_lot_and_no_other() {
        let (together, door) = (Arc::new(Together::new(8, 1)), Arc::new(Semaphore::new(0)));
        let mut calls = ask_all(&together, 0..60, &door);
        until_waiting(&together, 52).await;
        door.add_permits(1_000);
        let mut answered = 0;
        while let Some(done) = calls.join_next().await {
            answered += usize::from(done.is_ok());
        }
        assert_eq!(answered, 52);
        assert_eq!(ask_all(&together, 100..101, &door).join_all().await, [200]);
    }

    #[tokio::test]
    async fn who_panics_alone_is_not_told_to_try_again() {
        async fn panic(_: Vec<u32>) -> Vec<u32> {
            panic!("an unlucky ask")
        }
        let fault = Together::new(8, 1).ask(13, panic).await.unwrap_err();
        assert_eq!((fault.code, fault.reason), (Code::Internal, "INTERNAL"));
    }

    #[tokio::test]
    async fn a_lot_goes_on_and_keeps_its_turn_when_whoever_began_it_is_gone() {
        let (together, door) = (Arc::new(Together::new(8, 1)), Arc::new(Semaphore::new(0)));
        let mut began = ask_all(&together, 1..2, &door);
        while together.turns.available_permits() > 0 || together.with_waiting(|waiting| !waiting.is_empty()) {
            tokio::task::yield_now().await;
        }
        began.shutdown().await;
        let others = ask_all(&together, 2..4, &door);
        until_waiting(&together, 2).await;
        assert_eq!(together.turns.available_permits(), 0, "the first lot is being done");
        door.add_permits(2);
        let mut answers = others.join_all().await;
        answers.sort_unstable();
        assert_eq!(answers, [4, 6]);
    }
}
