//! The statement of the won report.

use chrono::NaiveDate;
use otdel_runtime::scope::Scope;
use otdel_types::{Money, Month};
use sqlx::PgConnection;

use crate::domain::{
    ask::{Dimension, Dimensions, Filter, Key},
    change::Channel,
    figures::Cycle,
};

/// A part of the won report.
#[derive(Clone, Debug)]
pub(crate) enum WonPart {
    /// How many deals were won, and how long they took.
    Count(Key, Cycle),
    /// What the deals of one currency are worth. After the count of the same deals.
    Worth(Key, Money),
}

struct Row {
    month: Option<NaiveDate>,
    origin: Option<String>,
    channel: Option<Channel>,
    /// Whether the row is about the deals of every currency.
    whole: bool,
    currency: Option<String>,
    amount: Option<i64>,
    won: i64,
    days: i64,
    least: i32,
    most: i32,
    negative: i64,
    lower_middle: i32,
    upper_middle: i32,
}

impl TryFrom<Row> for WonPart {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let key = Key { month: row.month.map(Month::of), origin: row.origin, channel: row.channel };
        if !row.whole {
            let (amount, currency) = (row.amount.unwrap_or_default(), row.currency.unwrap_or_default());
            return super::money(amount, &currency).map(|worth| Self::Worth(key, worth));
        }
        let cycle = Cycle {
            deals: row.won,
            sum: row.days,
            min: row.least,
            max: row.most,
            lower_middle: row.lower_middle,
            upper_middle: row.upper_middle,
            negative: row.negative,
        };
        Ok(Self::Count(key, cycle))
    }
}

/// Counts the won deals of a build that `scope` reaches. A row is counted twice by the statement: among all of its
/// kind, and among those of its currency.
pub(crate) async fn count(
    db: &mut PgConnection,
    generation: i64,
    scope: &Scope,
    filter: &Filter,
    by: &Dimensions,
) -> sqlx::Result<Vec<WonPart>> {
    let (from, to) = super::months(filter);
    let rows = sqlx::query_as!(
        Row,
        r#"select month, origin, channel as "channel: Channel", currency, grouping(currency) = 1 as "whole!",
                  count(*) as "won!", sum(cycle_days)::bigint as "days!", min(cycle_days) as "least!",
                  max(cycle_days) as "most!", count(*) filter (where cycle_days < 0) as "negative!",
                  percentile_disc(0.5) within group (order by cycle_days) as "lower_middle!",
                  percentile_disc(0.5) within group (order by cycle_days desc) as "upper_middle!",
                  sum(amount)::bigint as amount
           from (select case when $9 then win_month end as month, case when $10 then origin end as origin,
                        case when $11 then channel end as channel, cycle_days, currency, amount
                 from reporting.deal
                 where generation = $1 and state = 'won' and ($2 or owner_id = $3 or team_id = any($4))
                   and ($5::date is null or win_month >= $5) and ($6::date is null or win_month <= $6)
                   and ($7::uuid is null or owner_id = $7) and ($8::uuid is null or team_id = $8)) as deal
           group by grouping sets ((month, origin, channel), (month, origin, channel, currency))
           having grouping(currency) = 1 or currency is not null
           order by grouping(currency) desc, currency"#,
        generation,
        scope.all,
        scope.me,
        &scope.teams,
        from,
        to,
        filter.owner.map(|owner| owner.0),
        filter.team.map(|team| team.0),
        by.has(Dimension::Month),
        by.has(Dimension::Origin),
        by.has(Dimension::Channel),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(WonPart::try_from).collect()
}
