//! Double entry: every transaction debits one account with the sum of what it credits others.

use chrono::{DateTime, Utc};
use otdel_types::{BadMoney, ClientId, Currency, Money};
use uuid::Uuid;

use super::{
    invoice::Invoice,
    payment::{Allocation, Payment},
};

/// An account of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Account {
    /// What clients owe.
    Receivable,
    /// What clients paid in advance.
    Advance,
    /// Money at the bank.
    Bank,
    /// Revenue without VAT.
    Revenue,
    /// VAT that is owed to the state.
    VatPayable,
}

/// What is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Kind {
    /// An invoice was issued.
    Issue,
    /// A client paid.
    Payment,
    /// A part of a payment pays a part of an invoice.
    Allocation,
}

/// One side of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The account.
    pub account: Account,
    /// The sum; debit is positive.
    pub amount: Money,
}

/// Something booked: legs of one client and currency whose sum is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The id of what is booked.
    pub id: Uuid,
    /// What is booked.
    pub kind: Kind,
    /// Whose money it is about.
    pub client: ClientId,
    /// When.
    pub book_time: DateTime<Utc>,
    /// The sides; none of them is zero.
    pub legs: Vec<Leg>,
}

/// Books an invoice: the client owes what is revenue and VAT.
pub fn issue(invoice: &Invoice) -> Result<Transaction, BadMoney> {
    let credits = [(Account::Revenue, invoice.sums.net), (Account::VatPayable, invoice.sums.vat)];
    let legs = balanced(Account::Receivable, &credits, invoice.currency())?;
    Ok(Transaction { id: invoice.id.0, kind: Kind::Issue, client: invoice.client, book_time: invoice.issue_time, legs })
}

/// Books a payment: until it is allocated, it is the client's advance.
pub fn pay(payment: &Payment) -> Result<Transaction, BadMoney> {
    let (client, amount) = (payment.receipt.client, payment.receipt.amount);
    let legs = balanced(Account::Bank, &[(Account::Advance, amount)], amount.currency)?;
    Ok(Transaction { id: payment.id.0, kind: Kind::Payment, client, book_time: payment.create_time, legs })
}

/// Books an allocation: a part of the advance pays a part of what is owed.
pub fn allocate(payment: &Payment, allocation: &Allocation) -> Result<Transaction, BadMoney> {
    let amount = allocation.part.amount;
    let legs = balanced(Account::Advance, &[(Account::Receivable, amount)], amount.currency)?;
    let (client, book_time) = (payment.receipt.client, payment.update_time);
    Ok(Transaction { id: allocation.id, kind: Kind::Allocation, client, book_time, legs })
}

/// Legs that balance by construction: the debit is the sum of the credits. Legs of nothing are left out.
fn balanced(debit: Account, credits: &[(Account, Money)], currency: Currency) -> Result<Vec<Leg>, BadMoney> {
    let sum = credits.iter().try_fold(Money::zero(currency), |sum, (_, credit)| sum.checked_add(*credit))?;
    let mut legs = vec![Leg { account: debit, amount: sum }];
    for (account, credit) in credits {
        legs.push(Leg { account: *account, amount: credit.checked_neg()? });
    }
    legs.retain(|leg| leg.amount.minor != 0);
    Ok(legs)
}

#[cfg(test)]
mod tests {
    use otdel_types::{InvoiceId, LineSums};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{invoice, payment};

    fn rub(minor: i64) -> Money {
        Money { minor, currency: Currency::RUB }
    }

    fn sums(net: i64, vat: i64) -> LineSums {
        LineSums { net: rub(net), vat: rub(vat), gross: rub(net + vat) }
    }

    fn payment(amount: i64) -> Payment {
        payment::tests::payment(ClientId::new(), rub(amount))
    }

    fn of(transaction: &Transaction) -> Vec<(Account, i64)> {
        transaction.legs.iter().map(|leg| (leg.account, leg.amount.minor)).collect()
    }

    #[test]
    fn an_invoice_is_owed_as_revenue_and_vat() {
        let booked = issue(&invoice::tests::invoice(ClientId::new(), sums(10_000, 2_200))).unwrap();
        let legs = [(Account::Receivable, 12_200), (Account::Revenue, -10_000), (Account::VatPayable, -2_200)];
        assert_eq!(of(&booked), legs);
    }

    #[test]
    fn a_sum_of_nothing_has_no_leg() {
        let booked = issue(&invoice::tests::invoice(ClientId::new(), sums(10_000, 0))).unwrap();
        assert_eq!(of(&booked), [(Account::Receivable, 10_000), (Account::Revenue, -10_000)]);
        assert_eq!(of(&issue(&invoice::tests::invoice(ClientId::new(), sums(0, 0))).unwrap()), []);
    }

    #[test]
    fn a_payment_is_an_advance_until_it_is_allocated() {
        let payment = payment(50_00);
        assert_eq!(of(&pay(&payment).unwrap()), [(Account::Bank, 50_00), (Account::Advance, -50_00)]);
        let part = payment::Part { invoice: InvoiceId::new(), amount: rub(20_00) };
        let booked = allocate(&payment, &Allocation { id: Uuid::now_v7(), part }).unwrap();
        assert_eq!(of(&booked), [(Account::Advance, 20_00), (Account::Receivable, -20_00)]);
    }

    proptest! {
        #[test]
        fn everything_that_is_booked_balances(net in 0..i64::MAX / 2, vat in 0..i64::MAX / 2, amount in 1..i64::MAX) {
            let part = payment::Part { invoice: InvoiceId::new(), amount: rub(amount) };
            let booked = [
                issue(&invoice::tests::invoice(ClientId::new(), sums(net, vat))),
                pay(&payment(amount)),
                allocate(&payment(amount), &Allocation { id: Uuid::now_v7(), part }),
            ];
            for transaction in booked {
                let legs = transaction.unwrap().legs;
                prop_assert_eq!(legs.iter().map(|leg| i128::from(leg.amount.minor)).sum::<i128>(), 0);
                prop_assert!(legs.iter().all(|leg| leg.amount.minor != 0));
            }
        }
    }
}
