use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tonic::Code;

use crate::fault::Fault;

/// The most streams of one principal at one replica. A stream costs a task and a bounded buffer, not a connection.
const MOST: usize = 16;

/// The streams under way by principal.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<String, usize>>>);

/// A place among a principal's streams, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    streams: Streams,
    principal: String,
}

impl Streams {
    /// A place for one more stream.
    pub(super) fn take(&self, principal: &str) -> Result<Slot, Fault> {
        self.change(principal, |open| {
            if *open == MOST {
                let text = format_args!("no more than {MOST} streams of one caller at once");
                return Err(Fault::new(Code::ResourceExhausted, "TOO_MANY_STREAMS", text));
            }
            *open += 1;
            Ok(())
        })?;
        Ok(Slot { streams: self.clone(), principal: principal.to_owned() })
    }

    fn change<R>(&self, principal: &str, change: impl FnOnce(&mut usize) -> R) -> R {
        let mut streams = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let open = streams.entry(principal.to_owned()).or_default();
        let result = change(open);
        if *open == 0 {
            streams.remove(principal);
        }
        result
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.streams.change(&self.principal, |open| *open = open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_has_so_many_streams_and_no_more() {
        let streams = Streams::default();
        let slots: Vec<_> = (0..MOST).map(|_| streams.take("principals/a").unwrap()).collect();
        assert_eq!(streams.take("principals/a").unwrap_err().code, Code::ResourceExhausted);
        let other = streams.take("principals/b").unwrap();
        drop(slots);
        assert!(streams.take("principals/a").is_ok());
        drop(other);
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
