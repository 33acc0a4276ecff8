//! The statement of the revenue report.

use chrono::NaiveDate;
use otdel_runtime::scope::Scope;
use otdel_types::{Money, Month};
use sqlx::PgConnection;

use crate::domain::ask::Filter;

/// What was invoiced and paid in a month and a currency.
#[derive(Clone, Debug)]
pub(crate) struct Revenue {
    /// The month.
    pub(crate) month: Month,
    /// The number of invoices.
    pub(crate) invoices: i64,
    /// Their sum without VAT.
    pub(crate) net: Money,
    /// Their VAT.
    pub(crate) vat: Money,
    /// Their sum with VAT.
    pub(crate) gross: Money,
    /// What was allocated to invoices.
    pub(crate) paid: Money,
}

struct Row {
    month: NaiveDate,
    currency: String,
    invoices: i64,
    net: i64,
    vat: i64,
    gross: i64,
    paid: i64,
}

impl TryFrom<Row> for Revenue {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let of = |minor| super::money(minor, &row.currency);
        Ok(Self {
            month: Month::of(row.month),
            invoices: row.invoices,
            net: of(row.net)?,
            vat: of(row.vat)?,
            gross: of(row.gross)?,
            paid: of(row.paid)?,
        })
    }
}

/// Sums the invoices and allocations of a build whose deal `scope` reaches, by month and currency. Those whose deal is
/// not known yet have no owner, so that only who reaches everything sees them.
pub(crate) async fn sum(
    db: &mut PgConnection,
    generation: i64,
    scope: &Scope,
    filter: &Filter,
) -> sqlx::Result<Vec<Revenue>> {
    let (from, to) = super::months(filter);
    let rows = sqlx::query_as!(
        Row,
        r#"select month, currency, sum(invoices)::bigint as "invoices!", sum(net)::bigint as "net!",
                  sum(vat)::bigint as "vat!", sum(gross)::bigint as "gross!", sum(paid)::bigint as "paid!"
           from reporting.money_sum
           where generation = $1 and whole = $9 and ($2 or owner_id = $3 or team_id = any($4))
             and ($5::date is null or month >= $5) and ($6::date is null or month <= $6)
             and ($7::uuid is null or owner_id = $7) and ($8::uuid is null or team_id = $8)
           group by month, currency
           having sum(invoices) > 0 or sum(parts) > 0
           order by month, currency"#,
        generation,
        scope.all,
        scope.me,
        &scope.teams,
        from,
        to,
        filter.owner.map(|owner| owner.0),
        filter.team.map(|team| team.0),
        super::is_whole(scope, filter),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Revenue::try_from).collect()
}
