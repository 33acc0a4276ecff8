use otdel_api::contracts as pb;
use otdel_runtime::{call::Call, page, violations::Violations};
use otdel_types::PositionToken;

use super::present;
use crate::{Contracts, domain::authority::Limit, error::Error, store};

/// Lists the limits that hold now, by role and currency.
pub(super) async fn list_approval_limits(
    app: Contracts,
    call: Call<pb::ListApprovalLimitsRequest>,
) -> Result<pb::ListApprovalLimitsResponse, Error> {
    let ask = ListApprovalLimits::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    let mut limits = store::approvals::limits(&mut db, None).await?;
    // Roles times currencies are a few hundred at most, so a page is cut out of all of them.
    limits.retain(|limit| ask.after.is_none_or(|after| place(limit) > after.position));
    limits.sort_by_key(place);
    let (limits, next_page_token) =
        page::cut(limits, ask.size, |last| PositionToken { arguments: ask.arguments, position: place(last) }.encode());
    Ok(pb::ListApprovalLimitsResponse { approval_limits: limits.iter().map(present::limit).collect(), next_page_token })
}

/// A limit's place in the list: its role, then its currency's three letters.
fn place(limit: &Limit) -> i64 {
    let role = i64::from(i32::from(present::approver(limit.approver)));
    limit.max_gross.currency.code().bytes().fold(role, |place, letter| (place << 8) | i64::from(letter))
}

struct ListApprovalLimits {
    size: i64,
    arguments: u64,
    after: Option<PositionToken>,
}

impl TryFrom<&pb::ListApprovalLimitsRequest> for ListApprovalLimits {
    type Error = Violations;

    fn try_from(msg: &pb::ListApprovalLimitsRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let arguments = page::arguments(&pb::ListApprovalLimitsRequest::default());
        let size = wrong.page_size(msg.page_size);
        let after = wrong.position_token(&msg.page_token, arguments);
        match (size, after) {
            (Some(size), Some(after)) => Ok(Self { size, arguments, after }),
            _ => Err(wrong),
        }
    }
}
