//! Doing at once what is asked at the same time.

use std::{collections::VecDeque, sync::Mutex, sync::PoisonError};

use tokio::sync::{self, oneshot};

use crate::fault::Fault;

/// Gathers what is asked while the last lot is being done, so that many calls share one transaction and one commit. For
/// the few RPCs that would otherwise wait for each other at one row: alone in its lot a call is as fast as without this,
/// and the more there are the more go together.
///
/// There is no task behind it. Whoever comes when nobody is at work does the work for all who have come until then; the
/// others wait for their answers. It belongs into units of work ([`crate::call::run`]), which nobody drops half-way.
#[derive(Debug)]
pub struct Together<Q, A> {
    most: usize,
    waiting: Mutex<VecDeque<Waiting<Q, A>>>,
    /// Held by whoever does the work.
    turn: sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiting<Q, A> {
    ask: Q,
    answer: oneshot::Sender<A>,
}

impl<Q, A> Together<Q, A> {
    /// Lots of at most `most`.
    pub fn new(most: usize) -> Self {
        Self { most, waiting: Mutex::default(), turn: sync::Mutex::default() }
    }

    /// Asks for something and gets its answer. `work` does a lot, in the order in which it was asked for, and gives as many
    /// answers in the same order.
    pub async fn ask<W>(&self, ask: Q, work: impl Fn(Vec<Q>) -> W) -> Result<A, Fault>
    where
        W: Future<Output = Vec<A>>,
    {
        let (answer, mut answered) = oneshot::channel();
        self.with_waiting(|waiting| waiting.push_back(Waiting { ask, answer }));
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answered => return answer.map_err(|_| lost()),
                turn = self.turn.lock() => turn,
            };
            // It may have come while the turn did.
            match answered.try_recv() {
                Ok(answer) => return Ok(answer),
                Err(oneshot::error::TryRecvError::Closed) => return Err(lost()),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let lot = self.with_waiting(|waiting| waiting.drain(..waiting.len().min(self.most)).collect::<Vec<_>>());
            let (asks, answers): (Vec<Q>, Vec<_>) = lot.into_iter().map(|one| (one.ask, one.answer)).unzip();
            for (to, answer) in answers.into_iter().zip(work(asks).await) {
                // Whoever asked may have gone; what was asked is done all the same.
                let _ = to.send(answer);
            }
            drop(turn);
        }
    }

    fn with_waiting<R>(&self, look: impl FnOnce(&mut VecDeque<Waiting<Q, A>>) -> R) -> R {
        look(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whoever was at work panicked, so nobody knows what was done. The same request may be sent again.
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
        let (together, door) = (Arc::new(Together::new(8)), Arc::new(Semaphore::new(0)));
        let calls = ask_all(&together, 100..200, &door);
        until_waiting(&together, 99).await;
        // The first went alone; 99 more in lots of 8 are 13 further turns of the door.
        door.add_permits(14);
        let mut answers = calls.join_all().await;
        answers.sort_unstable();
        assert_eq!(answers, (100..200).map(|ask| ask * 2).collect::<Vec<_>>());
        assert_eq!(door.available_permits(), 0);
    }

    #[tokio::test]
    async fn a_panic_loses_its_own_lot_and_no_other() {
        let (together, door) = (Arc::new(Together::new(8)), Arc::new(Semaphore::new(0)));
        let mut calls = ask_all(&together, 0..60, &door);
        until_waiting(&together, 59).await;
        door.add_permits(1_000);
        let mut answered = 0;
        while let Some(done) = calls.join_next().await {
            answered += usize::from(done.is_ok());
        }
        assert_eq!(answered, 52);
        assert_eq!(ask_all(&together, 100..101, &door).join_all().await, [200]);
    }
}
