//! Pages of lists.

use prost::Message;
use ring::digest::{SHA256, digest};

/// What a page token is bound to: a digest of the request without its page size and token. A token that comes back with
/// other arguments is refused.
pub fn arguments(request: &impl Message) -> u64 {
    let digest = digest(&SHA256, &request.encode_to_vec());
    digest.as_ref().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// The rows of a page and the token of the next, from one row more than the page holds. Empty token: the last page.
pub fn cut<T>(mut rows: Vec<T>, size: i64, token: impl FnOnce(&T) -> String) -> (Vec<T>, String) {
    let size = usize::try_from(size).unwrap_or_default();
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(token).unwrap_or_default();
    (rows, next)
}

/// The most bytes of messages on a page: the rest of the largest response ([`crate::peers::MAX_RESPONSE`]) is for what
/// stands around them.
const MOST_BYTES: usize = 3 * 1024 * 1024;

/// Besides itself, a message in a list costs its tag and its length.
const FRAME: usize = 8;

/// The messages of a page and the token of the next, from the keys and messages of one row more than the page holds. A page
/// ends early where its messages would be too large for one response, but never before its first. Empty token: the last
/// page.
pub fn fill<K, M: Message>(
    rows: impl IntoIterator<Item = (K, M)>,
    size: i64,
    token: impl FnOnce(K) -> String,
) -> (Vec<M>, String) {
    let size = usize::try_from(size).unwrap_or_default();
    let (mut messages, mut bytes, mut last) = (Vec::new(), 0, None);
    for (key, message) in rows {
        bytes += message.encoded_len() + FRAME;
        if last.is_some() && (messages.len() >= size || bytes > MOST_BYTES) {
            return (messages, last.map(token).unwrap_or_default());
        }
        messages.push(message);
        last = Some(key);
    }
    (messages, String::new())
}

#[cfg(test)]
mod tests {
    use otdel_api::leads as pb;
    use proptest::prelude::*;

    use super::*;
    use crate::peers::MAX_RESPONSE;

    /// Reads a whole list, page by page.
    fn pages(lengths: &[usize], size: usize) -> Vec<Vec<pb::Client>> {
        let (mut pages, mut from) = (Vec::new(), 0);
        loop {
            let rows = lengths.iter().enumerate().skip(from).take(size + 1);
            let rows =
                rows.map(|(at, length)| (at, pb::Client { display_name: "x".repeat(*length), ..Default::default() }));
            let (page, next) = fill(rows, i64::try_from(size).unwrap(), |at| (at + 1).to_string());
            pages.push(page);
            match next.parse() {
                Ok(next) => from = next,
                Err(_) => return pages,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_page_fits_a_response_and_no_row_is_lost(
            lengths in prop::collection::vec(prop_oneof![0..200_usize, 0..3_000_000_usize], 0..40),
            size in 1..30_usize,
        ) {
            let pages = pages(&lengths, size);
            for (at, page) in pages.iter().enumerate() {
                prop_assert!(page.len() <= size && (at == 0 || !page.is_empty()));
                let answer = pb::ListClientsResponse { clients: page.clone(), next_page_token: "t".repeat(100) };
                prop_assert!(answer.encoded_len() <= MAX_RESPONSE);
            }
            let read: Vec<usize> = pages.iter().flatten().map(|one| one.display_name.len()).collect();
            prop_assert_eq!(read, lengths);
        }
    }

    #[test]
    fn small_messages_fill_a_page() {
        let sizes = |length, size| pages(&vec![1; length], size).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(7, 3), [3, 3, 1]);
        assert_eq!(sizes(6, 3), [3, 3]);
        assert_eq!(sizes(0, 3), [0]);
    }

    #[test]
    fn a_message_that_is_too_large_by_itself_has_a_page_of_its_own() {
        let sizes: Vec<usize> = pages(&[1, MOST_BYTES, 1], 10).iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 1, 1]);
    }
}
