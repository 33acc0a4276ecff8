//! Which rows a caller reaches.

use otdel_types::{PersonId, TeamId};
use uuid::Uuid;

/// How far a grant reaches over scoped tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// What the caller answers for.
    Own,
    /// What the caller and the teams that the caller heads answer for.
    Team,
    /// Everything.
    All,
}

/// The rows that one call reaches: an argument of every query on a scoped table, where it becomes
/// `($all or owner_id = $me or team_id = any($teams))`.
///
/// A row that no team has had yet, such as a lead in the pool, waits for any head of a team: who reaches some team reaches
/// it. Where a table has such rows, and so in every report on them, the predicate goes on with
/// `or (team_id is null and $teams <> '{}')`. It does not where the team is null because it is not known yet: such a row is
/// reached by those who reach everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Whether it reaches every row.
    pub all: bool,
    /// The person whose rows it reaches; the nil UUID, which no row has, where the caller is no person.
    pub me: Uuid,
    /// The teams whose rows it reaches.
    pub teams: Vec<Uuid>,
}

impl Scope {
    /// Every row.
    pub fn all() -> Self {
        Self { all: true, me: Uuid::nil(), teams: Vec::new() }
    }

    /// No row.
    pub fn nothing() -> Self {
        Self { all: false, me: Uuid::nil(), teams: Vec::new() }
    }

    /// The rows of a grant of this reach in the hands of this caller.
    pub fn of(reach: Reach, person: Option<PersonId>, teams: &[TeamId]) -> Self {
        match reach {
            Reach::All => Self::all(),
            Reach::Own => Self { all: false, me: person.map_or(Uuid::nil(), |id| id.0), teams: Vec::new() },
            Reach::Team => Self {
                all: false,
                me: person.map_or(Uuid::nil(), |id| id.0),
                teams: teams.iter().map(|team| team.0).collect(),
            },
        }
    }

    /// The person whose rows it reaches, where it reaches no others.
    pub fn only_person(&self) -> Option<PersonId> {
        (!self.all && self.teams.is_empty() && !self.me.is_nil()).then_some(PersonId(self.me))
    }

    /// Whether a row with this owner and team is reached: the SQL predicate as a function. No team: none has had it yet.
    pub fn reaches(&self, owner: Option<PersonId>, team: Option<TeamId>) -> bool {
        self.all
            || owner.is_some_and(|owner| owner.0 == self.me)
            || team.map_or(!self.teams.is_empty(), |team| self.teams.contains(&team.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_own_grant_of_a_person_reaches_one_persons_rows() {
        let (me, mine) = (PersonId::new(), TeamId::new());
        assert_eq!(Scope::of(Reach::Own, Some(me), &[mine]).only_person(), Some(me));
        assert_eq!(Scope::of(Reach::Team, Some(me), &[mine]).only_person(), None);
        for scope in [Scope::of(Reach::Own, None, &[]), Scope::all(), Scope::nothing()] {
            assert_eq!(scope.only_person(), None);
        }
    }

    #[test]
    fn rows_of_no_team_are_reached_by_every_head_of_one() {
        let (me, other, mine, theirs) = (PersonId::new(), PersonId::new(), TeamId::new(), TeamId::new());
        let head = Scope::of(Reach::Team, Some(me), &[mine]);
        assert!(head.reaches(Some(other), Some(mine)) && head.reaches(Some(me), Some(theirs)));
        assert!(head.reaches(None, None) && !head.reaches(Some(other), Some(theirs)));
        for nobody in
            [Scope::of(Reach::Own, Some(me), &[mine]), Scope::of(Reach::Team, Some(me), &[]), Scope::nothing()]
        {
            assert!(!nobody.reaches(None, None) && !nobody.reaches(Some(other), Some(mine)));
        }
        assert!(Scope::all().reaches(None, None) && Scope::all().reaches(Some(other), Some(theirs)));
    }
}
