use std::collections::HashMap;

use otdel_api::billing as pb;
use otdel_runtime::{call::Call, page, violations::Violations};
use otdel_types::{InvoiceId, Token};

use super::present;
use crate::{
    Billing,
    domain::invoice::{Invoice, Line, State},
    error::Error,
    store::{self, invoices::Filter},
};

/// Lists the invoices that the caller reaches, newest first.
pub(super) async fn list_invoices(
    app: Billing,
    call: Call<pb::ListInvoicesRequest>,
) -> Result<pb::ListInvoicesResponse, Error> {
    let ask = ListInvoices::try_from(&call.msg)?;

    let token = |last: &Invoice| Token { arguments: ask.arguments, created: last.issue_time, id: last.id.0 }.encode();
    let mut db = app.core.db.acquire().await?;
    let rows = store::invoices::list(&mut db, call.scope(), &ask.filter, ask.after.as_ref(), ask.size + 1).await?;
    let (mut invoices, mut next) = page::cut(rows, ask.size, token);
    let ids: Vec<_> = invoices.iter().map(|invoice| invoice.id).collect();
    let mut lines = store::invoices::lines(&mut db, &ids).await?;
    let fit = fitting(&invoices, &lines);
    if fit < invoices.len() {
        invoices.truncate(fit);
        next = invoices.last().map(token).unwrap_or_default();
    }
    let invoices = invoices.iter().map(|one| present::invoice(one, &lines.remove(&one.id).unwrap_or_default()));
    Ok(pb::ListInvoicesResponse { invoices: invoices.collect(), next_page_token: next })
}

/// The most lines on a page: 4 MiB, the largest answer, hold more than 12,000 of the longest.
const MOST_LINES: usize = 10_000;

/// How many of the invoices fit on a page with their lines, at least one. A page may be shorter than was asked for.
fn fitting(invoices: &[Invoice], lines: &HashMap<InvoiceId, Vec<Line>>) -> usize {
    let mut sum = 0;
    let fit = invoices.iter().take_while(|invoice| {
        sum += lines.get(&invoice.id).map_or(0, Vec::len);
        sum <= MOST_LINES
    });
    fit.count().max(1)
}

struct ListInvoices {
    size: i64,
    arguments: u64,
    after: Option<Token>,
    filter: Filter,
}

impl TryFrom<&pb::ListInvoicesRequest> for ListInvoices {
    type Error = Violations;

    fn try_from(msg: &pb::ListInvoicesRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let bare = pb::ListInvoicesRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let arguments = page::arguments(&bare);
        let size = wrong.page_size(msg.page_size);
        let after = wrong.page_token(&msg.page_token, arguments);
        let state = wrong.optional_choice("state", msg.state);
        let deal = wrong.optional_name("deal", &msg.deal);
        let client = wrong.optional_name("client", &msg.client);
        let order = wrong.optional_name("order", &msg.order);
        match (size, after, state, deal, client, order) {
            (Some(size), Some(after), Some(state), Some(deal), Some(client), Some(order)) => {
                let filter = Filter { state: state.and_then(invoice_state), deal, client, order };
                Ok(Self { size, arguments, after, filter })
            }
            _ => Err(wrong),
        }
    }
}

fn invoice_state(state: pb::invoice::State) -> Option<State> {
    match state {
        pb::invoice::State::Unspecified => None,
        pb::invoice::State::Issued => Some(State::Issued),
        pb::invoice::State::PartlyPaid => Some(State::PartlyPaid),
        pb::invoice::State::Paid => Some(State::Paid),
    }
}
