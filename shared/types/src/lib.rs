//! The values of Otdel that every service shares: ids, money, quantities, VAT, dates and page tokens.
//!
//! Everything here is a pure function of its arguments: no database, no network, no float, and no clock but that of a
//! fresh id. What cannot be computed exactly is an error and not a panic. The messages of the errors are written to
//! follow the name of a request's field (`price: must be a decimal number such as 12.5`) and never repeat the text that
//! was refused.

pub mod decimal;
pub mod id;
pub mod money;
pub mod page;
mod round;
pub mod time;
pub mod vat;

pub use decimal::{BadDecimal, decimal_text, mean, parse_decimal, percent};
pub use id::{
    ApiKeyId, BadName, ClientId, ContractId, DealId, InvoiceId, LeadId, OrderId, PaymentId, PersonId, PipelineId,
    PrincipalId, ResourceId, TeamId, parse_name,
};
pub use money::{BadMoney, Currency, Money};
pub use page::{BadPageSize, BadToken, PositionToken, Token, page_size};
pub use time::{BadMonth, BadZone, Month, Zone};
pub use vat::{LineSums, VatRate, line_sums, total};
