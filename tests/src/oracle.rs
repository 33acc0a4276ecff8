//! What the suite has acknowledged: every answer that a client got, to be held against what the suite says later.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use prost::Message;
use tonic::{Response, Status};

use crate::{eventually::eventually, refusal::is_passing};

type Again = Box<dyn Fn() -> BoxFuture<'static, Result<Vec<u8>, Status>> + Send + Sync>;

/// The log of acknowledged operations. Cheap to clone.
#[derive(Clone, Default)]
pub struct Oracle(Arc<Mutex<Vec<Acknowledged>>>);

struct Acknowledged {
    what: String,
    answer: Vec<u8>,
    again: Again,
}

impl Oracle {
    /// Sends a mutation until its outcome is known, as a careful client does: the same request each time. `waiting` says
    /// which refusals are worth waiting for, such as a gate that a fact on its way will open.
    pub async fn acknowledge<R, F, W>(
        &self,
        what: &str,
        send: impl Fn() -> F + Clone + Send + Sync + 'static,
        waiting: W,
    ) -> R
    where
        R: Message + Default + Clone + 'static,
        F: Future<Output = Result<Response<R>, Status>> + Send + 'static,
        W: Fn(&Status) -> bool,
    {
        let answer = eventually(what, || async {
            match send().await {
                Ok(answer) => Ok(Ok(answer.into_inner())),
                Err(status) if is_passing(&status) || waiting(&status) => Err(status),
                Err(status) => Ok(Err(status)),
            }
        })
        .await;
        let answer = answer.unwrap_or_else(|status| panic!("{what}: {status:?}"));
        let again: Again = Box::new(move || {
            let sent = send();
            Box::pin(async move { sent.await.map(|answer| answer.into_inner().encode_to_vec()) })
        });
        let acknowledged = Acknowledged { what: what.to_owned(), answer: answer.encode_to_vec(), again };
        self.0.lock().expect("the log").push(acknowledged);
        answer
    }

    /// How many operations were acknowledged.
    pub fn len(&self) -> usize {
        self.0.lock().expect("the log").len()
    }

    /// Whether nothing was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends every acknowledged request once more: each must get its first answer, byte for byte, which shows that none
    /// was lost.
    pub async fn every_answer_stands(&self) {
        let log = std::mem::take(&mut *self.0.lock().expect("the log"));
        for one in &log {
            let answer = eventually(&one.what, || async {
                match (one.again)().await {
                    Err(status) if is_passing(&status) => Err(status),
                    outcome => Ok(outcome),
                }
            })
            .await;
            let answer = answer.unwrap_or_else(|status| panic!("{} lost its first answer: {status:?}", one.what));
            assert!(answer == one.answer, "{} is answered otherwise than at first", one.what);
        }
        self.0.lock().expect("the log").extend(log);
    }
}
