//! Typed ids and the resource names by which the API calls them, such as `leads/{uuid}`.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A text that is not the resource name of the collection asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must look like {collection}/{{uuid}}")]
pub struct BadName {
    /// The collection whose name was expected, such as `leads`.
    pub collection: &'static str,
}

/// An id that can be written as a resource name, so that names of any collection are parsed by one function.
pub trait ResourceId: Sized {
    /// The first segment of the resource name, such as `leads`.
    const COLLECTION: &'static str;

    /// Wraps the bare id.
    fn from_uuid(uuid: Uuid) -> Self;

    /// Gives the bare id.
    fn uuid(&self) -> Uuid;
}

/// Parses the canonical resource name `{collection}/{uuid}` and nothing else.
///
/// A UUID has several spellings (upper case, braces, no hyphens). Only the lower-case hyphenated one is accepted, so
/// that a resource has exactly one name and names can be compared as texts.
pub fn parse_name<I: ResourceId>(text: &str) -> Result<I, BadName> {
    let bad = BadName { collection: I::COLLECTION };
    let id = text.strip_prefix(I::COLLECTION).and_then(|rest| rest.strip_prefix('/')).ok_or(bad)?;
    let uuid = Uuid::try_parse(id).map_err(|_| bad)?;
    let mut canonical = Uuid::encode_buffer();
    if uuid.hyphenated().encode_lower(&mut canonical) != id {
        return Err(bad);
    }
    Ok(I::from_uuid(uuid))
}

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident($collection:literal);)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The first segment of the resource name.
            pub const COLLECTION: &'static str = $collection;

            /// Makes a fresh id: a UUID of version 7, whose order is roughly that of creation.
            #[expect(clippy::new_without_default, reason = "each id is new, so there is no default one")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl ResourceId for $name {
            const COLLECTION: &'static str = $collection;

            fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            fn uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($collection, "/"))?;
                f.write_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                parse_name(text)
            }
        }
    )+};
}

ids! {
    /// The id of a lead, `leads/{uuid}`.
    LeadId("leads");
    /// The id of a client, `clients/{uuid}`.
    ClientId("clients");
    /// The id of a deal, `deals/{uuid}`.
    DealId("deals");
    /// The id of a sales pipeline, `pipelines/{uuid}`.
    PipelineId("pipelines");
    /// The id of a person, `people/{uuid}`.
    PersonId("people");
    /// The id of a team, `teams/{uuid}`.
    TeamId("teams");
    /// The id of a principal: whoever may sign in, `principals/{uuid}`.
    PrincipalId("principals");
    /// The id of an API key, `apiKeys/{uuid}`.
    ApiKeyId("apiKeys");
    /// The id of a contract, `contracts/{uuid}`.
    ContractId("contracts");
    /// The id of an order, `orders/{uuid}`.
    OrderId("orders");
    /// The id of an invoice, `invoices/{uuid}`.
    InvoiceId("invoices");
    /// The id of a payment, `payments/{uuid}`.
    PaymentId("payments");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "leads/0198c0de-0000-7abc-8def-0123456789ab";

    /// Names of the id in the wrong spelling or of something else.
    fn wrong_names(uuid: Uuid) -> Vec<String> {
        let right = format!("leads/{uuid}");
        vec![
            right.to_uppercase(),
            format!("leads/{}", uuid.simple()),
            format!("leads/{}", uuid.braced()),
            format!("leads/{}", uuid.urn()),
            format!("deals/{uuid}"),
            format!("lead/{uuid}"),
            format!("leads//{uuid}"),
            format!("/leads/{uuid}"),
            format!(" {right}"),
            format!("{right} "),
            format!("{right}/notes/{uuid}"),
            right.replace('/', ""),
            uuid.to_string(),
        ]
    }

    fn reads_what_it_writes<I: ResourceId + fmt::Display>(uuid: Uuid) -> bool {
        let name = I::from_uuid(uuid).to_string();
        name == format!("{}/{uuid}", I::COLLECTION) && parse_name::<I>(&name).is_ok_and(|id| id.uuid() == uuid)
    }

    #[test]
    fn every_collection_has_its_own_name() {
        let collections = [
            LeadId::COLLECTION,
            ClientId::COLLECTION,
            DealId::COLLECTION,
            PipelineId::COLLECTION,
            PersonId::COLLECTION,
            TeamId::COLLECTION,
            PrincipalId::COLLECTION,
            ApiKeyId::COLLECTION,
            ContractId::COLLECTION,
            OrderId::COLLECTION,
            InvoiceId::COLLECTION,
            PaymentId::COLLECTION,
        ];
        assert_eq!(collections.iter().collect::<HashSet<_>>().len(), collections.len());
    }

    #[test]
    fn upper_case_uuids_are_refused() {
        assert_eq!(NAME.parse::<LeadId>().map(|id| id.to_string()).as_deref(), Ok(NAME));
        let upper = NAME.replace("abc", "ABC");
        let refusal = upper.parse::<LeadId>().expect_err("not canonical");
        assert_eq!(refusal.to_string(), "must look like leads/{uuid}");
    }

    #[test]
    fn fresh_ids_differ_and_are_of_version_seven() {
        let (first, second) = (LeadId::new(), LeadId::new());
        assert_ne!(first, second);
        assert_eq!(first.0.get_version_num(), 7);
    }

    proptest! {
        #[test]
        fn names_are_read_as_they_were_written(bits in any::<u128>()) {
            let uuid = Uuid::from_u128(bits);
            prop_assert!(reads_what_it_writes::<LeadId>(uuid));
            prop_assert!(reads_what_it_writes::<ApiKeyId>(uuid));
            prop_assert!(reads_what_it_writes::<PersonId>(uuid));
        }

        #[test]
        fn other_spellings_are_refused(bits in any::<u128>()) {
            for name in wrong_names(Uuid::from_u128(bits)) {
                prop_assert_eq!(name.parse::<LeadId>(), Err(BadName { collection: "leads" }), "{}", name);
            }
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "leads/[0-9a-fA-F{}-]{30,40}|\\PC{0,50}") {
            if let Ok(id) = text.parse::<LeadId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
