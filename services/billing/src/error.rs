//! What can go wrong in billing, and the one place that picks codes for it.

use otdel_runtime::{
    fault::{Explain, Fault},
    violations::Violations,
};
use otdel_types::{BadMoney, ClientId, InvoiceId, PaymentId};
use tonic::Code;

use crate::domain::{invoice, payment};

/// Why billing does not do what was asked, or what an event calls for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields are wrong.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The named invoice does not exist, or the caller does not reach it.
    #[error("there is no such invoice")]
    NoSuchInvoice(InvoiceId),
    /// The named payment does not exist, or the caller does not reach it.
    #[error("there is no such payment")]
    NoSuchPayment(PaymentId),
    /// A client that an argument names does not exist, or the caller does not reach it.
    #[error("there is no such client")]
    NoSuchClient(ClientId),
    /// The bank reference belongs to another payment.
    #[error("the bank reference belongs to an earlier payment with another content")]
    BankRefTaken(PaymentId),
    /// A payment does not do what is asked.
    #[error(transparent)]
    Payment(#[from] payment::Refusal),
    /// An event cannot be read.
    #[error("the event cannot be read: {0}")]
    Unreadable(Violations),
    /// A confirmed order cannot be invoiced.
    #[error("the order cannot be invoiced: {0}")]
    Order(#[from] invoice::Refusal),
    /// A sum cannot be booked.
    #[error("the sum cannot be booked: {0}")]
    Money(#[from] BadMoney),
    /// A refusal that is the same in every service.
    #[error(transparent)]
    Shared(#[from] Fault),
    /// The database said no.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl Explain for Error {
    fn explain(&self) -> Fault {
        match self {
            Self::Invalid(all) => Fault::fields(all),
            Self::NoSuchInvoice(id) => Fault::new(Code::NotFound, "INVOICE_NOT_FOUND", self).with("invoice", id),
            Self::NoSuchPayment(id) => Fault::new(Code::NotFound, "PAYMENT_NOT_FOUND", self).with("payment", id),
            Self::NoSuchClient(id) => Fault::new(Code::FailedPrecondition, "CLIENT_NOT_FOUND", self).with("client", id),
            Self::BankRefTaken(id) => Fault::new(Code::AlreadyExists, "BANK_REF_TAKEN", self).with("payment", id),
            Self::Payment(refusal) => refused(refusal),
            // Whoever sent it is one of us, so it is our fault whatever is wrong.
            Self::Unreadable(violations) => Fault::internal(violations.clone()),
            Self::Order(refusal) => Fault::internal(refusal.clone()),
            Self::Money(error) => Fault::internal(*error),
            Self::Shared(fault) => fault.clone(),
            Self::Database(error) => Fault::database(error),
        }
    }
}

fn refused(refusal: &payment::Refusal) -> Fault {
    use payment::Refusal::{InvoiceExceeded, NoSuchInvoice, NotPayable, PaymentExceeded, Stale};
    match refusal {
        Stale { current } => Fault::new(Code::Aborted, "STALE_ETAG", refusal).with("etag", current),
        NoSuchInvoice(id) => Fault::new(Code::FailedPrecondition, "INVOICE_NOT_FOUND", refusal).with("invoice", id),
        NotPayable(id) => Fault::new(Code::FailedPrecondition, "INVOICE_NOT_PAYABLE", refusal).with("invoice", id),
        InvoiceExceeded { invoice, lacks } => Fault::new(Code::FailedPrecondition, "INVOICE_EXCEEDED", refusal)
            .with("invoice", invoice)
            .with("lacks", lacks),
        PaymentExceeded { left } => {
            Fault::new(Code::FailedPrecondition, "PAYMENT_EXCEEDED", refusal).with("left", left)
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        error.explain()
    }
}

#[cfg(test)]
mod tests {
    use otdel_api::billing::ErrorReason;
    use otdel_types::{Currency, Money};

    use super::*;

    /// One of each, with its code and the metadata that the proto promises.
    fn all() -> Vec<(Error, Code, &'static [&'static str])> {
        let (invoice, payment, rub) = (InvoiceId::new(), PaymentId::new(), Money::zero(Currency::RUB));
        let mut wrong = Violations::default();
        wrong.add("amount", "must be above 0");
        let exceeded = payment::Refusal::InvoiceExceeded { invoice, lacks: rub };
        vec![
            (Error::Invalid(wrong.clone()), Code::InvalidArgument, &[]),
            (Error::NoSuchInvoice(invoice), Code::NotFound, &["invoice"]),
            (Error::NoSuchPayment(payment), Code::NotFound, &["payment"]),
            (Error::NoSuchClient(ClientId::new()), Code::FailedPrecondition, &["client"]),
            (Error::BankRefTaken(payment), Code::AlreadyExists, &["payment"]),
            (payment::Refusal::Stale { current: 2 }.into(), Code::Aborted, &["etag"]),
            (payment::Refusal::NoSuchInvoice(invoice).into(), Code::FailedPrecondition, &["invoice"]),
            (payment::Refusal::NotPayable(invoice).into(), Code::FailedPrecondition, &["invoice"]),
            (exceeded.into(), Code::FailedPrecondition, &["invoice", "lacks"]),
            (payment::Refusal::PaymentExceeded { left: rub }.into(), Code::FailedPrecondition, &["left"]),
            (Error::Unreadable(wrong), Code::Internal, &[]),
            (invoice::Refusal::Sums.into(), Code::Internal, &[]),
            (BadMoney::Overflow.into(), Code::Internal, &[]),
        ]
    }

    #[test]
    fn every_refusal_has_the_code_and_the_metadata_that_its_reason_promises() {
        for (error, code, keys) in all() {
            let fault = error.explain();
            assert_eq!(fault.code, code, "{error}");
            let mut told: Vec<_> = fault.metadata.keys().map(String::as_str).collect();
            told.sort_unstable();
            assert_eq!(told, keys, "{error}");
            let declared = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", fault.reason)).is_some();
            assert_eq!(declared, code != Code::Internal, "{}", fault.reason);
        }
    }

    #[test]
    fn what_is_our_fault_is_told_to_the_log_alone() {
        for (error, ..) in all().into_iter().filter(|(_, code, _)| *code == Code::Internal) {
            let fault = error.explain();
            assert_eq!(
                (fault.reason, fault.text.as_str(), fault.cause.is_some()),
                ("INTERNAL", "internal error", true)
            );
        }
    }
}
