//! Issues the invoice of each order that is confirmed (B1).

use chrono::{DateTime, Utc};
use otdel_api::{
    common,
    contracts::{self, contract_event},
};
use otdel_runtime::{
    call::Act,
    convert::money_of,
    core::Core,
    fault::Fault,
    follow::{Follower, Source, SourceEvent},
    outbox,
    violations::Violations,
};
use otdel_types::{LineSums, Money, VatRate};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        invoice::{Invoice, Line, Order, State},
        ledger,
    },
    error::Error,
    facts, store,
};

/// The follower. It only reacts: an order has one invoice, so the event that confirms it may come again.
#[derive(Debug)]
pub(crate) struct Orders(pub(crate) Core);

#[tonic::async_trait]
impl Follower for Orders {
    fn name(&self) -> &'static str {
        "billing.orders"
    }

    fn sources(&self) -> &'static [Source] {
        &[Source::Contracts]
    }

    async fn apply(
        &self,
        db: &mut PgConnection,
        _generation: i64,
        event: &SourceEvent,
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let SourceEvent::Contracts(contracts::ContractEvent { fact: Some(fact), .. }) = event else { return Ok(()) };
        let contract_event::Fact::OrderConfirmed(confirmed) = fact else { return Ok(()) };
        let act = Act::of_worker(&self.0, self.name(), now).because_of("contracts", event.id());
        Ok(self.invoice(db, confirmed, &act).await?)
    }
}

impl Orders {
    /// Issues an order's invoice if it has none. An event that cannot be read, or whose sums are wrong, is an error: it
    /// is tried again and seen, until somebody has mended what sent it.
    async fn invoice(
        &self,
        db: &mut PgConnection,
        confirmed: &contracts::OrderConfirmed,
        act: &Act,
    ) -> Result<(), Error> {
        let order = order(confirmed).map_err(Error::Unreadable)?;
        if store::invoices::is_invoiced(db, order.id).await? {
            return Ok(());
        }

        let invoice = Invoice::issue(&order, self.0.zone.date_of(act.now), act.now)?;
        let booked = ledger::issue(&invoice)?;

        let invoice = store::invoices::insert(db, invoice).await?;
        store::invoices::insert_lines(db, invoice.id, &order.lines).await?;
        store::ledger::book(db, &[booked]).await?;
        outbox::append(db, act, facts::issued(&invoice)).await?;
        if invoice.state() == State::Paid {
            outbox::append(db, act, facts::paid(&invoice, None)).await?;
        }
        Ok(())
    }
}

/// The order as the event has it, or everything that is wrong with it. No limit of requests is applied: the order is
/// confirmed, and to refuse it would stop every invoice after it for ever.
fn order(confirmed: &contracts::OrderConfirmed) -> Result<Order, Violations> {
    let mut wrong = Violations::default();
    let id = wrong.name("order", &confirmed.order);
    let contract = wrong.name("contract", &confirmed.contract);
    let deal = wrong.name("deal", &confirmed.deal);
    let client = wrong.name("client", &confirmed.client);
    let sums = sums(&mut wrong, "", [&confirmed.net, &confirmed.vat, &confirmed.gross]);
    let mut lines = Vec::with_capacity(confirmed.lines.len());
    for (place, confirmed) in confirmed.lines.iter().enumerate() {
        lines.extend(line(&mut wrong, &format!("lines[{place}]."), confirmed));
    }
    match (wrong.0.is_empty(), id, contract, deal, client, sums) {
        (true, Some(id), Some(contract), Some(deal), Some(client), Some(sums)) => {
            Ok(Order { id, contract, deal, client, lines, sums })
        }
        _ => Err(wrong),
    }
}

/// As many digits as are computed with: how many a contract allows is not decided here.
const DIGITS: u32 = 28;

fn line(wrong: &mut Violations, path: &str, line: &contracts::ConfirmedLine) -> Option<Line> {
    let order_line = wrong.take(&format!("{path}id"), Uuid::try_parse(&line.id));
    let quantity = wrong.decimal(&format!("{path}quantity"), line.quantity.as_ref(), DIGITS, DIGITS);
    let unit_price = wrong.decimal(&format!("{path}unit_price"), line.unit_price.as_ref(), DIGITS, DIGITS);
    let vat_rate = wrong.choice(&format!("{path}vat_rate"), line.vat_rate).and_then(vat_rate);
    let sums = sums(wrong, path, [&line.net, &line.vat, &line.gross]);
    Some(Line {
        order_line: order_line?,
        quantity: quantity?,
        unit_code: line.unit_code.clone(),
        unit_price: unit_price?,
        vat_rate: vat_rate?,
        vat_included: line.vat_included,
        sums: sums?,
    })
}

fn sums(wrong: &mut Violations, path: &str, [net, vat, gross]: [&Option<common::Money>; 3]) -> Option<LineSums> {
    let net = money(wrong, &format!("{path}net"), net.as_ref());
    let vat = money(wrong, &format!("{path}vat"), vat.as_ref());
    let gross = money(wrong, &format!("{path}gross"), gross.as_ref());
    Some(LineSums { net: net?, vat: vat?, gross: gross? })
}

fn money(wrong: &mut Violations, field: &str, value: Option<&common::Money>) -> Option<Money> {
    let value = wrong.message(field, value)?;
    wrong.take(field, money_of(value))
}

fn vat_rate(rate: contracts::VatRate) -> Option<VatRate> {
    match rate {
        contracts::VatRate::Unspecified => None,
        contracts::VatRate::None => Some(VatRate::None),
        contracts::VatRate::VatRate0 => Some(VatRate::Zero),
        contracts::VatRate::VatRate5 => Some(VatRate::Five),
        contracts::VatRate::VatRate7 => Some(VatRate::Seven),
        contracts::VatRate::VatRate10 => Some(VatRate::Ten),
        contracts::VatRate::VatRate20 => Some(VatRate::Twenty),
        contracts::VatRate::VatRate22 => Some(VatRate::TwentyTwo),
    }
}

#[cfg(test)]
mod tests {
    use otdel_types::{ClientId, ContractId, DealId, OrderId};

    use super::*;

    fn rub(units: i64, nanos: i32) -> common::Money {
        common::Money { currency_code: "RUB".into(), units, nanos }
    }

    fn confirmed() -> contracts::OrderConfirmed {
        let number = |value: &str| Some(common::Decimal { value: value.into() });
        let line = contracts::ConfirmedLine {
            id: Uuid::now_v7().to_string(),
            quantity: number("1"),
            unit_code: "pcs".into(),
            unit_price: number("10.03"),
            vat_rate: contracts::VatRate::VatRate22.into(),
            vat_included: false,
            net: Some(rub(10, 30_000_000)),
            vat: Some(rub(2, 210_000_000)),
            gross: Some(rub(12, 240_000_000)),
        };
        contracts::OrderConfirmed {
            order: OrderId::new().to_string(),
            contract: ContractId::new().to_string(),
            deal: DealId::new().to_string(),
            client: ClientId::new().to_string(),
            lines: vec![line; 3],
            net: Some(rub(30, 90_000_000)),
            vat: Some(rub(6, 630_000_000)),
            gross: Some(rub(36, 720_000_000)),
            confirm_time: None,
        }
    }

    #[test]
    fn a_confirmed_order_is_read_with_its_sums() {
        let confirmed = confirmed();
        let order = order(&confirmed).unwrap();
        assert_eq!(order.check(), Ok(()));
        assert_eq!((order.id.to_string(), order.client.to_string()), (confirmed.order, confirmed.client));
        assert_eq!((order.lines.len(), order.sums.vat.minor), (3, 663));
    }

    #[test]
    fn an_order_larger_than_any_request_may_be_is_invoiced() {
        let mut confirmed = confirmed();
        let price = 90_000_000_000_000_000_i64;
        let line = &mut confirmed.lines[0];
        line.unit_price = Some(common::Decimal { value: price.to_string() });
        line.unit_code = "a unit of more than twenty letters".into();
        line.vat_rate = contracts::VatRate::None.into();
        (line.net, line.vat, line.gross) = (Some(rub(price, 0)), Some(rub(0, 0)), Some(rub(price, 0)));
        confirmed.lines.truncate(1);
        (confirmed.net, confirmed.vat, confirmed.gross) = (Some(rub(price, 0)), Some(rub(0, 0)), Some(rub(price, 0)));
        let order = order(&confirmed).unwrap();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let invoice = Invoice::issue(&order, now.date_naive(), now).unwrap();
        assert_eq!(invoice.sums.gross.minor, price * 100);
        assert!(ledger::issue(&invoice).is_ok());
    }

    #[test]
    fn everything_unreadable_is_told_at_once() {
        let mut confirmed = confirmed();
        confirmed.deal.clear();
        confirmed.gross = None;
        confirmed.lines[1].vat_rate = 99;
        confirmed.lines[1].quantity = None;
        confirmed.lines[2].id = "1".into();
        let wrong = order(&confirmed).unwrap_err();
        let fields: Vec<_> = wrong.0.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["deal", "gross", "lines[1].quantity", "lines[1].vat_rate", "lines[2].id"]);
    }

    #[test]
    fn every_rate_of_vat_is_known_by_its_percent() {
        for rate in VatRate::ALL {
            let name = format!("VAT_RATE_{}", rate.text().to_uppercase());
            let sent = contracts::VatRate::from_str_name(&name).unwrap();
            assert_eq!(vat_rate(sent), Some(rate));
        }
        assert_eq!(vat_rate(contracts::VatRate::Unspecified), None);
    }
}
