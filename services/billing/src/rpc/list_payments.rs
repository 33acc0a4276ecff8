use otdel_api::billing as pb;
use otdel_runtime::{call::Call, page, violations::Violations};
use otdel_types::{ClientId, Token};

use super::present;
use crate::{Billing, error::Error, store};

/// Lists the payments that the caller reaches, newest first.
pub(super) async fn list_payments(
    app: Billing,
    call: Call<pb::ListPaymentsRequest>,
) -> Result<pb::ListPaymentsResponse, Error> {
    let ask = ListPayments::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    let (payments, next) = page::cut(
        store::payments::list(&mut db, call.scope(), ask.client, ask.after.as_ref(), ask.size + 1).await?,
        ask.size,
        |last| Token { arguments: ask.arguments, created: last.create_time, id: last.id.0 }.encode(),
    );
    Ok(pb::ListPaymentsResponse { payments: payments.iter().map(present::payment).collect(), next_page_token: next })
}

struct ListPayments {
    size: i64,
    arguments: u64,
    after: Option<Token>,
    client: Option<ClientId>,
}

impl TryFrom<&pb::ListPaymentsRequest> for ListPayments {
    type Error = Violations;

    fn try_from(msg: &pb::ListPaymentsRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let bare = pb::ListPaymentsRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let arguments = page::arguments(&bare);
        let size = wrong.page_size(msg.page_size);
        let after = wrong.page_token(&msg.page_token, arguments);
        let client = wrong.optional_name("client", &msg.client);
        match (size, after, client) {
            (Some(size), Some(after), Some(client)) => Ok(Self { size, arguments, after, client }),
            _ => Err(wrong),
        }
    }
}
