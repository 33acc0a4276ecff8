use otdel_api::billing as pb;
use otdel_runtime::{call::Call, convert::money};

use super::present;
use crate::{Billing, error::Error, store};

/// Sums every account of the ledger from its entries, so that the answer proves what it says.
pub(super) async fn get_trial_balance(
    app: Billing,
    _call: Call<pb::GetTrialBalanceRequest>,
) -> Result<pb::GetTrialBalanceResponse, Error> {
    let mut db = app.core.db.acquire().await?;
    let trial = store::ledger::trial_balance(&mut db).await?;
    let balances = trial.balances.into_iter().map(|(account, balance)| pb::AccountBalance {
        account: present::account(account).into(),
        balance: Some(money(balance)),
    });
    Ok(pb::GetTrialBalanceResponse { balances: balances.collect(), transactions: trial.transactions })
}
