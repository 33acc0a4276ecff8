//! The statement of the lead and conversion reports.

use otdel_runtime::scope::Scope;
use otdel_types::Month;
use sqlx::PgConnection;

use crate::domain::{
    ask::{Dimension, Dimensions, Filter, Key},
    change::Channel,
};

/// A number of leads.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeadCount {
    /// What they have in common.
    pub(crate) key: Key,
    /// The number of leads.
    pub(crate) leads: i64,
    /// The number of them whose deal was won.
    pub(crate) won: i64,
}

/// Counts the leads of a build that `scope` reaches: as in leads, every head of a team reaches those of no team.
pub(crate) async fn count(
    db: &mut PgConnection,
    generation: i64,
    scope: &Scope,
    filter: &Filter,
    by: &Dimensions,
) -> sqlx::Result<Vec<LeadCount>> {
    let (from, to) = super::months(filter);
    let rows = sqlx::query!(
        r#"select month, origin, channel as "channel: Channel", sum(leads)::bigint as "leads!",
                  sum(won)::bigint as "won!"
           from (select case when $9 then month end as month, case when $10 then origin end as origin,
                        case when $11 then channel end as channel, leads, won
                 from reporting.lead_sum
                 where generation = $1 and whole = $12
                   and ($2 or owner_id = $3 or team_id = any($4) or (team_id is null and $4 <> '{}'))
                   and ($5::date is null or month >= $5) and ($6::date is null or month <= $6)
                   and ($7::uuid is null or owner_id = $7) and ($8::uuid is null or team_id = $8)) as lead
           group by month, origin, channel
           having sum(leads) > 0"#,
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
    Ok(rows
        .into_iter()
        .map(|row| LeadCount {
            key: Key { month: row.month.map(Month::of), origin: row.origin, channel: row.channel },
            leads: row.leads,
            won: row.won,
        })
        .collect())
}
