use sqlx::PgConnection;

use otdel_types::PositionToken;

use super::{Cursor, FeedEvent, store, subscription};
use crate::{fault::Fault, page, violations::Violations};

/// Which page of a deal's events is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DealPage {
    size: i64,
    after: i64,
    arguments: u64,
}

impl DealPage {
    /// Reads `page_size` and `page_token`. `arguments` as [`page::arguments`] makes them.
    pub fn parse(wrong: &mut Violations, size: i32, token: &str, arguments: u64) -> Option<Self> {
        let size = wrong.page_size(size);
        let token = wrong.position_token(token, arguments);
        Some(Self { size: size?, after: token?.map_or(0, |token| token.position), arguments })
    }
}

/// A page of the events about a deal, in the order of their positions, and the token of the next page. `further` names
/// resources that belong to the deal's history although their events do not say so, such as the lead that it came from.
/// What is not numbered yet is not there yet: its place in the order is not known. A page ends early where its events would
/// be too large for one response.
pub async fn list_deal_events<E: FeedEvent>(
    db: &mut PgConnection,
    deal: &str,
    further: &[String],
    page: DealPage,
) -> Result<(Vec<E>, String), Fault> {
    let epoch = store::epoch(&mut *db).await?;
    let rows = store::of_deal(db, deal, further, page.after, page.size + 1).await?;
    let events = rows.into_iter().map(|row| {
        let at = Cursor { epoch, position: row.position, hash: row.hash };
        Ok((row.position, subscription::read(&row.payload.unwrap_or_default(), &at)?))
    });
    let events = events.collect::<Result<Vec<(i64, E)>, Fault>>()?;
    Ok(page::fill(events, page.size, |position| PositionToken { arguments: page.arguments, position }.encode()))
}
