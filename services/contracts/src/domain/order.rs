//! An order's life under a signed contract: made, then confirmed or cancelled.

use chrono::{DateTime, Utc};
use otdel_types::{ClientId, ContractId, DealId, Money, OrderId};

use super::{
    contract::{self, Contract},
    line::{Lines, Offer, TooLarge},
};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum State {
    /// It is being prepared.
    New,
    /// It is binding.
    Confirmed,
    /// It was cancelled before it was confirmed.
    Cancelled,
}

/// What a client wants delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The contract.
    pub contract: ContractId,
    /// The contract's deal.
    pub deal: DealId,
    /// The contract's other side.
    pub client: ClientId,
    /// What is ordered.
    pub lines: Lines,
    /// Where it stands.
    pub state: State,
    /// When it was confirmed.
    pub confirm_time: Option<DateTime<Utc>>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub create_time: DateTime<Utc>,
    /// When it changed last.
    pub update_time: DateTime<Utc>,
}

/// Why an order does not do what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller decided on an older version.
    #[error("the order changed since it was read")]
    Stale {
        /// The current version.
        current: i64,
    },
    /// Its state does not allow it.
    #[error("an order in this state cannot be {verb}")]
    WrongState {
        /// The state.
        state: State,
        /// What was asked.
        verb: &'static str,
    },
    /// Nothing is ordered before both sides have signed.
    #[error("the contract is not signed")]
    NotSigned {
        /// The contract's state.
        state: contract::State,
    },
    /// What is ordered was not agreed on at this price.
    #[error("a line is none of the contract's lines")]
    NotInContract {
        /// Its place among the lines that were asked for, from 0.
        at: usize,
    },
    /// More would be ordered than was agreed on.
    #[error("the orders of the contract would be worth more than the contract")]
    AboveContract {
        /// What may still be ordered.
        left: Money,
    },
    /// The sums are too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl Order {
    /// Orders something under a signed contract: the contract's lines in quantities of its own, or just as they are.
    /// `ordered` is what its other orders are worth in minor units, without the cancelled ones.
    ///
    /// Quantities are bounded by the contract's total alone: what was agreed on are prices and a sum.
    pub fn create(contract: &Contract, ordered: i64, offers: Vec<Offer>, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if contract.state != contract::State::Signed {
            return Err(Refusal::NotSigned { state: contract.state });
        }
        let agreed = &contract.content;
        let has = |offer: &Offer| agreed.lines.all.iter().any(|line| line.offer.is_priced_as(offer));
        if let Some(at) = offers.iter().position(|offer| !has(offer)) {
            return Err(Refusal::NotInContract { at });
        }
        let lines =
            if offers.is_empty() { agreed.lines.copied() } else { Lines::price(offers, agreed.lines.currency)? };
        let left = Money { minor: (contract.gross().minor - ordered).max(0), currency: agreed.lines.currency };
        if lines.total.gross.minor > left.minor {
            return Err(Refusal::AboveContract { left });
        }
        Ok(Self {
            id: OrderId::new(),
            contract: contract.id,
            deal: agreed.deal,
            client: agreed.client,
            lines,
            state: State::New,
            confirm_time: None,
            version: 1,
            create_time: now,
            update_time: now,
        })
    }

    /// Refuses a decision that was made on an older version.
    pub fn expect(&self, seen: Option<i64>) -> Result<(), Refusal> {
        if seen.is_some_and(|version| version != self.version) {
            return Err(Refusal::Stale { current: self.version });
        }
        Ok(())
    }

    /// Makes it binding.
    pub fn confirm(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        Ok(Self { confirm_time: Some(now), ..self.moved(State::Confirmed, "confirmed", now)? })
    }

    /// Cancels it before it is binding.
    pub fn cancel(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.moved(State::Cancelled, "cancelled", now)
    }

    fn moved(self, state: State, verb: &'static str, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if self.state != State::New {
            return Err(Refusal::WrongState { state: self.state, verb });
        }
        Ok(Self { state, version: self.version + 1, update_time: now, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{contract::tests::signed, line::tests::offer};
    use otdel_types::VatRate;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_900_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn an_order_without_lines_takes_the_contracts() {
        let contract = signed();
        let order = Order::create(&contract, 0, vec![], at(0)).unwrap();
        assert_eq!(order.lines.total, contract.content.lines.total);
        assert_eq!((order.deal, order.client), (contract.content.deal, contract.content.client));
        assert_ne!(order.lines.all[0].id, contract.content.lines.all[0].id);
    }

    /// The line of [`signed`], which is worth 100.00, in another quantity.
    fn some(quantity: &str) -> Offer {
        offer(quantity, "100", VatRate::Twenty, true)
    }

    #[test]
    fn an_order_takes_the_contracts_lines_in_its_own_quantities() {
        let order = Order::create(&signed(), 0, vec![some("0.25"), some("0.5")], at(0)).unwrap();
        assert_eq!((order.lines.total.gross.minor, order.lines.currency.code()), (7_500, "RUB"));
        let spelled = offer("1", "100.00", VatRate::Twenty, true);
        assert!(Order::create(&signed(), 0, vec![spelled], at(0)).is_ok());
        let huge = vec![some("999999999.999"), some("1")];
        assert_eq!(Order::create(&signed(), 0, huge, at(0)), Err(Refusal::TooLarge(TooLarge)));
    }

    #[test]
    fn what_was_not_agreed_on_is_not_ordered() {
        let others = [
            Offer { display_name: "окно".into(), ..some("1") },
            Offer { unit_code: "kg".into(), ..some("1") },
            offer("1", "99.99", VatRate::Twenty, true),
            offer("1", "100", VatRate::TwentyTwo, true),
            offer("1", "100", VatRate::Twenty, false),
        ];
        for other in others {
            let refusal = Order::create(&signed(), 0, vec![some("0.1"), other], at(0));
            assert_eq!(refusal, Err(Refusal::NotInContract { at: 1 }));
        }
    }

    #[test]
    fn nothing_is_ordered_under_an_unsigned_contract() {
        for state in [contract::State::Draft, contract::State::Review, contract::State::Approved] {
            let contract = Contract { state, ..signed() };
            assert_eq!(Order::create(&contract, 0, vec![], at(0)), Err(Refusal::NotSigned { state }));
        }
    }

    #[test]
    fn an_older_version_is_refused() {
        let order = Order::create(&signed(), 0, vec![], at(0)).unwrap();
        assert_eq!(order.expect(Some(7)), Err(Refusal::Stale { current: 1 }));
        assert_eq!((order.expect(Some(1)), order.expect(None)), (Ok(()), Ok(())));
    }

    proptest! {
        #[test]
        fn the_orders_of_a_contract_are_never_worth_more_than_it(
            quantities in prop::collection::vec(prop::collection::vec(1_i64..800, 0..3), 1..12),
        ) {
            let contract = signed();
            let mut ordered = 0;
            for quantities in quantities {
                let asked = |digits: &i64| Offer { quantity: Decimal::new(*digits, 3), ..some("1") };
                let thousandths = if quantities.is_empty() { 1_000 } else { quantities.iter().sum() };
                match Order::create(&contract, ordered, quantities.iter().map(asked).collect(), at(0)) {
                    Ok(order) => ordered += order.lines.total.gross.minor,
                    Err(refusal) => {
                        let left = Money { minor: 10_000 - ordered, currency: contract.gross().currency };
                        prop_assert_eq!(refusal, Refusal::AboveContract { left });
                        prop_assert!(thousandths * 10 > left.minor);
                    }
                }
                prop_assert!(ordered <= contract.gross().minor);
            }
        }

        #[test]
        fn an_order_is_decided_once(confirms in prop::collection::vec(any::<bool>(), 1..6)) {
            let mut order = Order::create(&signed(), 0, vec![], at(0)).unwrap();
            for (second, confirm) in (1..).zip(&confirms) {
                let before = order.clone();
                let tried = if *confirm { order.clone().confirm(at(second)) } else { order.clone().cancel(at(second)) };
                match tried {
                    Ok(after) => {
                        prop_assert_eq!((before.state, after.version), (State::New, 2));
                        prop_assert_eq!(&after.lines, &before.lines);
                        order = after;
                    }
                    Err(refusal) => {
                        let verb = if *confirm { "confirmed" } else { "cancelled" };
                        prop_assert_eq!(refusal, Refusal::WrongState { state: before.state, verb });
                    }
                }
                let first = if confirms[0] { State::Confirmed } else { State::Cancelled };
                prop_assert_eq!(order.state, first);
                prop_assert_eq!(order.confirm_time, confirms[0].then(|| at(1)));
            }
        }
    }
}
