//! Whose turn it is (I2, I4).

use std::collections::BTreeMap;

use otdel_types::{PersonId, TeamId};

use super::lead::Holder;

/// Somebody on shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub person: PersonId,
    /// The person's team.
    pub team: TeamId,
    /// How many open leads the person holds.
    pub open_leads: i32,
    /// How many the person can hold.
    pub capacity: i32,
    /// When it was the person's turn last.
    pub last_turn: i64,
}

impl Candidate {
    /// Whether the person can take one more.
    pub fn has_room(&self) -> bool {
        self.open_leads < self.capacity
    }
}

/// What turns did to a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Move {
    /// How many more open leads the person holds; negative for fewer.
    pub leads: i32,
    /// When it was the person's turn, if it was.
    pub last_turn: Option<i64>,
}

/// The people on shift, and the turns that were taken since the rota was opened.
#[derive(Clone, Debug)]
pub struct Rota {
    turn: i64,
    staff: Vec<Candidate>,
    moves: BTreeMap<PersonId, Move>,
}

impl Rota {
    /// The rota after its last turn.
    pub fn new(turn: i64, staff: Vec<Candidate>) -> Self {
        Self { turn, staff, moves: BTreeMap::new() }
    }

    /// The last turn.
    pub fn turn(&self) -> i64 {
        self.turn
    }

    /// What the turns did, by person.
    pub fn moves(&self) -> &BTreeMap<PersonId, Move> {
        &self.moves
    }

    /// Who can take one more.
    pub fn with_room(&self) -> Vec<PersonId> {
        self.staff.iter().filter(|one| one.has_room()).map(|one| one.person).collect()
    }

    /// Gives a lead to whoever's turn it is: a known client's manager where that one has room, otherwise whoever holds
    /// the fewest open leads, among equals whoever has waited longest. Nobody who has held the lead before.
    pub fn give(&mut self, known: Option<PersonId>, held: &[PersonId]) -> Option<Holder> {
        let free = || self.staff.iter().filter(|one| one.has_room() && !held.contains(&one.person));
        let chosen = free()
            .find(|one| Some(one.person) == known)
            .or_else(|| free().min_by_key(|one| (one.open_leads, one.last_turn, one.person)))?
            .person;
        self.give_to(chosen)
    }

    /// Gives a lead to a person by choice. None: the person is off shift or full.
    pub fn give_to(&mut self, person: PersonId) -> Option<Holder> {
        let one = self.staff.iter_mut().find(|one| one.person == person && one.has_room())?;
        self.turn += 1;
        one.open_leads += 1;
        one.last_turn = self.turn;
        let moved = self.moves.entry(person).or_default();
        moved.leads += 1;
        moved.last_turn = Some(self.turn);
        Some(Holder { person, team: one.team })
    }

    /// Takes a lead from a person, on shift or not.
    pub fn let_go(&mut self, person: PersonId) {
        if let Some(one) = self.staff.iter_mut().find(|one| one.person == person) {
            one.open_leads -= 1;
        }
        self.moves.entry(person).or_default().leads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn people(n: usize, capacity: i32) -> Vec<Candidate> {
        let one = |_| Candidate { person: PersonId::new(), team: TeamId::new(), open_leads: 0, capacity, last_turn: 0 };
        (0..n).map(one).collect()
    }

    fn given(staff: &[Candidate], known: Option<PersonId>, held: &[PersonId]) -> Option<PersonId> {
        Rota::new(0, staff.to_vec()).give(known, held).map(|holder| holder.person)
    }

    #[test]
    fn a_known_client_returns_to_its_manager_while_that_one_has_room() {
        let mut staff = people(3, 2);
        staff[2].open_leads = 1;
        assert_eq!(given(&staff, Some(staff[2].person), &[]), Some(staff[2].person));
        staff[2].open_leads = 2;
        assert_ne!(given(&staff, Some(staff[2].person), &[]), Some(staff[2].person));
    }

    #[test]
    fn nobody_gets_a_lead_twice_and_nobody_left_is_nobody() {
        let staff = people(2, 5);
        assert_eq!(given(&staff, None, &[staff[0].person]), Some(staff[1].person));
        assert_eq!(given(&staff, Some(staff[0].person), &[staff[0].person, staff[1].person]), None);
        assert_eq!(given(&[], None, &[]), None);
        assert_eq!(given(&people(3, 0), None, &[]), None);
    }

    #[test]
    fn who_lets_a_lead_go_has_room_again() {
        let staff = people(1, 1);
        let mut rota = Rota::new(7, staff.clone());
        assert!(rota.give(None, &[]).is_some());
        assert!(rota.give(None, &[]).is_none() && rota.with_room().is_empty());
        rota.let_go(staff[0].person);
        assert!(rota.give_to(staff[0].person).is_some());
        assert_eq!(rota.moves()[&staff[0].person], Move { leads: 1, last_turn: Some(9) });
    }

    #[test]
    fn who_is_off_shift_gets_nothing_and_still_lets_go() {
        let (mut rota, absent) = (Rota::new(0, people(1, 1)), PersonId::new());
        assert!(rota.give_to(absent).is_none());
        rota.let_go(absent);
        assert_eq!(rota.moves()[&absent], Move { leads: -1, last_turn: None });
        assert_eq!(rota.turn(), 0);
    }

    proptest! {
        #[test]
        fn the_spread_between_people_stays_within_one(n in 1_usize..12, leads in 0_usize..200) {
            let mut rota = Rota::new(0, people(n, 1_000));
            for _ in 0..leads {
                prop_assert!(rota.give(None, &[]).is_some());
            }
            let most = rota.staff.iter().map(|one| one.open_leads).max().unwrap();
            let least = rota.staff.iter().map(|one| one.open_leads).min().unwrap();
            prop_assert!(most - least <= 1);
            let moved: i32 = rota.moves().values().map(|one| one.leads).sum();
            prop_assert_eq!((usize::try_from(moved).unwrap(), usize::try_from(rota.turn()).unwrap()), (leads, leads));
        }

        #[test]
        fn nobody_is_given_more_than_they_can_hold(capacity in 0_i32..5, n in 1_usize..5, leads in 0_usize..40) {
            let mut rota = Rota::new(0, people(n, capacity));
            for _ in 0..leads {
                let _ = rota.give(None, &[]);
            }
            prop_assert!(rota.staff.iter().all(|one| one.open_leads <= capacity));
        }
    }
}
