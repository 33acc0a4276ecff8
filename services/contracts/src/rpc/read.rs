//! What several requests have in common, read into domain values. Every violation is noted.

use otdel_api::{contracts as pb, leads::Role};
use otdel_runtime::{auth::Principal, violations::Violations};
use otdel_types::{ResourceId, VatRate};
use rust_decimal::Decimal;

use crate::domain::{
    authority::{Actor, Approver},
    line::Offer,
};

/// The most lines of a document.
const MOST_LINES: usize = 200;

/// Digits of a unit price before the point: so many reach the largest sum at the smallest quantity, in a currency without
/// smaller units. A larger one is no price at all.
const PRICE_DIGITS: u32 = 17;

/// A request that names a resource and does one thing to it.
pub(super) struct Named<I> {
    /// The resource.
    pub(super) id: I,
    /// The version that the caller has read.
    pub(super) seen: Option<i64>,
}

/// Reads `request_id`, `name` and `etag`.
pub(super) fn named<I: ResourceId>(
    wrong: &mut Violations,
    request_id: &str,
    name: &str,
    etag: &str,
) -> Option<Named<I>> {
    let request = wrong.request_id(request_id);
    let id = wrong.name("name", name);
    let seen = wrong.etag("etag", etag);
    request.and(Some(Named { id: id?, seen: seen? }))
}

/// Who writes or approves.
pub(super) fn actor(principal: &Principal) -> Actor {
    Actor { principal: principal.name.clone(), person: principal.person }
}

/// The caller's roles that approve.
pub(super) fn approvers(principal: &Principal) -> Vec<Approver> {
    let of = |role: &Role| match role {
        Role::HeadOfDepartment => Some(Approver::HeadOfDepartment),
        Role::CommercialDirector => Some(Approver::CommercialDirector),
        Role::Unspecified
        | Role::Manager
        | Role::LeadManager
        | Role::Accountant
        | Role::Auditor
        | Role::Administrator
        | Role::ServiceAccount => None,
    };
    principal.roles.iter().filter_map(of).collect()
}

/// Reads the lines of a document: at least `least` and at most 200.
pub(super) fn lines(wrong: &mut Violations, lines: &[pb::NewLine], least: usize) -> Option<Vec<Offer>> {
    if lines.len() < least || lines.len() > MOST_LINES {
        wrong.add("lines", format_args!("must be {least} to {MOST_LINES} lines"));
        return None;
    }
    let read: Vec<_> = lines.iter().enumerate().map(|(at, msg)| line(wrong, &format!("lines[{at}]"), msg)).collect();
    read.into_iter().collect()
}

fn line(wrong: &mut Violations, path: &str, msg: &pb::NewLine) -> Option<Offer> {
    let field = |name: &str| format!("{path}.{name}");
    let display_name = wrong.text(&field("display_name"), &msg.display_name, 200);
    let (at_quantity, at_price) = (field("quantity"), field("unit_price"));
    let quantity = wrong.decimal(&at_quantity, msg.quantity.as_ref(), 9, 3);
    let quantity = quantity.and_then(|quantity| wrong.take(&at_quantity, above_zero(quantity)));
    let unit_code = wrong.text(&field("unit_code"), &msg.unit_code, 20);
    let unit_price = wrong.decimal(&at_price, msg.unit_price.as_ref(), PRICE_DIGITS, 6);
    let unit_price = unit_price.and_then(|price| wrong.take(&at_price, not_negative(price)));
    let vat_rate = wrong.choice(&field("vat_rate"), msg.vat_rate).and_then(vat_rate);
    Some(Offer {
        display_name: display_name?,
        quantity: quantity?,
        unit_code: unit_code?,
        unit_price: unit_price?,
        vat_rate: vat_rate?,
        vat_included: msg.vat_included,
    })
}

fn above_zero(quantity: Decimal) -> Result<Decimal, &'static str> {
    if quantity > Decimal::ZERO { Ok(quantity) } else { Err("must be above 0") }
}

fn not_negative(price: Decimal) -> Result<Decimal, &'static str> {
    if price >= Decimal::ZERO { Ok(price) } else { Err("must not be negative") }
}

fn vat_rate(rate: pb::VatRate) -> Option<VatRate> {
    match rate {
        pb::VatRate::Unspecified => None,
        pb::VatRate::None => Some(VatRate::None),
        pb::VatRate::VatRate0 => Some(VatRate::Zero),
        pb::VatRate::VatRate5 => Some(VatRate::Five),
        pb::VatRate::VatRate7 => Some(VatRate::Seven),
        pb::VatRate::VatRate10 => Some(VatRate::Ten),
        pb::VatRate::VatRate20 => Some(VatRate::Twenty),
        pb::VatRate::VatRate22 => Some(VatRate::TwentyTwo),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use otdel_api::common;

    fn new_line(quantity: &str, unit_price: &str) -> pb::NewLine {
        let decimal = |value: &str| Some(common::Decimal { value: value.into() });
        pb::NewLine {
            display_name: "Окно".into(),
            quantity: decimal(quantity),
            unit_code: "pcs".into(),
            unit_price: decimal(unit_price),
            vat_rate: pb::VatRate::VatRate20.into(),
            vat_included: false,
        }
    }

    fn wrong_fields(all: &[pb::NewLine], least: usize) -> Vec<String> {
        let mut wrong = Violations::default();
        let _ = lines(&mut wrong, all, least);
        wrong.0.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn every_wrong_field_of_every_line_is_named() {
        let bare = pb::NewLine::default();
        let fields = wrong_fields(&[new_line("1", "0"), bare, new_line("0", "-1")], 1);
        let of_bare = ["display_name", "quantity", "unit_code", "unit_price", "vat_rate"];
        let mut wanted: Vec<String> = of_bare.iter().map(|name| format!("lines[1].{name}")).collect();
        wanted.extend(["lines[2].quantity".to_owned(), "lines[2].unit_price".to_owned()]);
        assert_eq!(fields, wanted);
    }

    #[test]
    fn a_document_has_a_bounded_number_of_lines() {
        let line = new_line("1", "1");
        assert_eq!(wrong_fields(&[], 1), ["lines"]);
        assert!(wrong_fields(&[], 0).is_empty());
        assert!(wrong_fields(&vec![line.clone(); 200], 1).is_empty());
        assert_eq!(wrong_fields(&vec![line; 201], 1), ["lines"]);
    }

    #[test]
    fn numbers_have_bounds() {
        for (quantity, unit_price) in [("0.001", "0"), ("999999999.999", "0.000001"), ("1", "-0")] {
            assert!(wrong_fields(&[new_line(quantity, unit_price)], 1).is_empty(), "{quantity} {unit_price}");
        }
        for quantity in ["0", "-1", "0.0001", "1000000000", "", "x", "1e3"] {
            assert_eq!(wrong_fields(&[new_line(quantity, "1")], 1), ["lines[0].quantity"], "{quantity}");
        }
        for unit_price in ["-0.01", "0.0000001", "100000000000000000", "", "x", "1e3"] {
            assert_eq!(wrong_fields(&[new_line("1", unit_price)], 1), ["lines[0].unit_price"], "{unit_price}");
        }
    }
}
