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
    /// None where the row is about the deals of every currency, and of none.
    currency: Option<String>,
    amount: i64,
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
        if let Some(currency) = row.currency {
            return super::money(row.amount, &currency).map(|worth| Self::Worth(key, worth));
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

/// Counts the won deals of a build that `scope` reaches: all of a kind, by how many days they took, and then by currency
/// those whose worth is known.
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
        r#"with cell as (
               select month, origin, channel, days, sum(won) as won
               from (select case when $9 then month end as month, case when $10 then origin end as origin,
                            case when $11 then channel end as channel, days, won
                     from reporting.won_sum
                     where generation = $1 and whole = $12 and ($2 or owner_id = $3 or team_id = any($4))
                       and ($5::date is null or month >= $5) and ($6::date is null or month <= $6)
                       and ($7::uuid is null or owner_id = $7) and ($8::uuid is null or team_id = $8)) as won_sum
               group by month, origin, channel, days
               having sum(won) > 0),
           ranked as (
               select *, sum(won) over (partition by month, origin, channel order by days) as up_to,
                      sum(won) over (partition by month, origin, channel) as of_all
               from cell)
           select month, origin, channel as "channel: Channel", null as "currency?: String",
                  sum(won)::bigint as "won!", sum(won * days)::bigint as "days!", min(days) as "least!",
                  max(days) as "most!", coalesce(sum(won) filter (where days < 0), 0)::bigint as "negative!",
                  min(days) filter (where up_to * 2 >= of_all) as "lower_middle!",
                  min(days) filter (where up_to * 2 > of_all) as "upper_middle!", 0::bigint as "amount!"
           from ranked
           group by month, origin, channel
           union all
           select month, origin, channel, currency, sum(won)::bigint, 0, 0, 0, 0, 0, 0, sum(amount)::bigint
           from (select case when $9 then month end as month, case when $10 then origin end as origin,
                        case when $11 then channel end as channel, currency, won, amount
                 from reporting.worth_sum
                 where generation = $1 and whole = $12 and ($2 or owner_id = $3 or team_id = any($4))
                   and ($5::date is null or month >= $5) and ($6::date is null or month <= $6)
                   and ($7::uuid is null or owner_id = $7) and ($8::uuid is null or team_id = $8)) as worth_sum
           group by month, origin, channel, currency
           having sum(won) > 0
           order by 4 nulls first"#,
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
        super::is_whole(scope, filter),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(WonPart::try_from).collect()
}
