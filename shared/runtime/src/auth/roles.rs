//! What each role may do. The table is code, so that a change of it is reviewed like code.

use otdel_api::leads::Role;

use crate::scope::Reach::{self, All, Own, Team};

/// Every permission there is. A policy or an API key with another one is a mistake.
pub const PERMISSIONS: &[&str] = &[
    "caller.read",
    "clients.read",
    "clients.write",
    "contracts.approve",
    "contracts.draft",
    "contracts.read",
    "contracts.sign",
    "deals.import",
    "deals.read",
    "deals.work",
    "directory.read",
    "events.locate",
    "events.read",
    "invoices.read",
    "leads.assign",
    "leads.import",
    "leads.read",
    "leads.submit",
    "leads.work",
    "ledger.read",
    "limits.read",
    "limits.write",
    "orders.read",
    "orders.write",
    "payments.read",
    "payments.write",
    "personal.read",
    "pipelines.read",
    "pipelines.write",
    "principals.read",
    "principals.write",
    "projections.read",
    "projections.rebuild",
    "reports.deals",
    "reports.finance",
    "reports.leads",
    "staff.read",
    "staff.schedule",
    "staff.write",
    "test.clock",
];

/// The permission that no key lacks: to be told who one is.
pub(super) const OF_EVERYBODY: &str = "caller.read";

/// Whether an RPC that needs this permission changes nothing. A key that is read-only has no others.
pub fn only_reads(permission: &str) -> bool {
    permission.split_once('.').is_some_and(|(of, act)| act == "read" || act == "locate" || of == "reports")
}

type Grants = &'static [(&'static str, Reach)];

const MANAGER: Grants = &[
    ("caller.read", All),
    ("clients.read", Own),
    ("clients.write", Own),
    ("contracts.draft", Own),
    ("contracts.read", Own),
    ("contracts.sign", Own),
    ("deals.read", Own),
    ("deals.work", Own),
    ("invoices.read", Own),
    ("leads.read", Own),
    ("leads.submit", Own),
    ("leads.work", Own),
    ("limits.read", All),
    ("orders.read", Own),
    ("orders.write", Own),
    ("payments.read", Own),
    ("personal.read", All),
    ("pipelines.read", All),
    ("reports.deals", Own),
    ("reports.finance", Own),
    ("reports.leads", Own),
    ("staff.read", All),
];

const LEAD_MANAGER: Grants = &[
    ("caller.read", All),
    ("leads.assign", All),
    ("leads.read", All),
    ("leads.submit", All),
    ("leads.work", All),
    ("personal.read", All),
    ("pipelines.read", All),
    ("reports.leads", All),
    ("staff.read", All),
    ("staff.schedule", All),
];

const HEAD_OF_DEPARTMENT: Grants = &[
    ("caller.read", All),
    ("clients.read", Team),
    ("clients.write", Team),
    ("contracts.approve", Team),
    ("contracts.draft", Team),
    ("contracts.read", Team),
    ("contracts.sign", Team),
    ("deals.read", Team),
    ("deals.work", Team),
    ("invoices.read", Team),
    ("leads.assign", Team),
    ("leads.read", Team),
    ("leads.submit", Team),
    ("leads.work", Team),
    ("limits.read", All),
    ("orders.read", Team),
    ("orders.write", Team),
    ("payments.read", Team),
    ("personal.read", All),
    ("pipelines.read", All),
    ("reports.deals", Team),
    ("reports.finance", Team),
    ("reports.leads", Team),
    ("staff.read", All),
    ("staff.schedule", Team),
];

const COMMERCIAL_DIRECTOR: Grants = &[
    ("caller.read", All),
    ("clients.read", All),
    ("clients.write", All),
    ("contracts.approve", All),
    ("contracts.draft", All),
    ("contracts.read", All),
    ("contracts.sign", All),
    ("deals.read", All),
    ("deals.work", All),
    ("invoices.read", All),
    ("leads.assign", All),
    ("leads.read", All),
    ("leads.submit", All),
    ("leads.work", All),
    ("ledger.read", All),
    ("limits.read", All),
    ("limits.write", All),
    ("orders.read", All),
    ("orders.write", All),
    ("payments.read", All),
    ("personal.read", All),
    ("pipelines.read", All),
    ("pipelines.write", All),
    ("projections.read", All),
    ("reports.deals", All),
    ("reports.finance", All),
    ("reports.leads", All),
    ("staff.read", All),
    ("staff.schedule", All),
];

const ACCOUNTANT: Grants = &[
    ("caller.read", All),
    ("contracts.read", All),
    ("invoices.read", All),
    ("ledger.read", All),
    ("orders.read", All),
    ("payments.read", All),
    ("payments.write", All),
    ("reports.finance", All),
];

/// Reads everything but personal data, and never writes.
const AUDITOR: Grants = &[
    ("caller.read", All),
    ("clients.read", All),
    ("contracts.read", All),
    ("deals.read", All),
    ("events.read", All),
    ("invoices.read", All),
    ("leads.read", All),
    ("ledger.read", All),
    ("limits.read", All),
    ("orders.read", All),
    ("payments.read", All),
    ("pipelines.read", All),
    ("principals.read", All),
    ("projections.read", All),
    ("reports.deals", All),
    ("reports.finance", All),
    ("reports.leads", All),
    ("staff.read", All),
];

const ADMINISTRATOR: Grants = &[
    ("caller.read", All),
    ("principals.read", All),
    ("principals.write", All),
    ("staff.read", All),
    ("staff.schedule", All),
    ("staff.write", All),
];

/// What a service account may do is listed with it; this much every caller may.
const SERVICE_ACCOUNT: Grants = &[("caller.read", All)];

/// What a role grants.
pub fn grants_of_role(role: Role) -> Grants {
    match role {
        Role::Unspecified => &[],
        Role::Manager => MANAGER,
        Role::LeadManager => LEAD_MANAGER,
        Role::HeadOfDepartment => HEAD_OF_DEPARTMENT,
        Role::CommercialDirector => COMMERCIAL_DIRECTOR,
        Role::Accountant => ACCOUNTANT,
        Role::Auditor => AUDITOR,
        Role::Administrator => ADMINISTRATOR,
        Role::ServiceAccount => SERVICE_ACCOUNT,
    }
}

/// What a service may do as itself, over all rows. Workers follow feeds and read what a fact does not carry.
pub fn grants_of_service(service: &str) -> &'static [&'static str] {
    match service {
        "leads" | "contracts" | "billing" | "reporting" => &["events.read", "events.locate"],
        "gateway" => &["directory.read", "events.locate", "test.clock"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 8] = [
        Role::Manager,
        Role::LeadManager,
        Role::HeadOfDepartment,
        Role::CommercialDirector,
        Role::Accountant,
        Role::Auditor,
        Role::Administrator,
        Role::ServiceAccount,
    ];

    #[test]
    fn every_granted_permission_exists() {
        for role in ROLES {
            for (permission, _) in grants_of_role(role) {
                assert!(PERMISSIONS.contains(permission), "{role:?} grants unknown {permission}");
            }
        }
        for service in super::super::SERVICES {
            for permission in grants_of_service(service) {
                assert!(PERMISSIONS.contains(permission), "{service} is granted unknown {permission}");
            }
        }
    }

    #[test]
    fn an_auditor_never_writes_and_sees_no_personal_data() {
        for (permission, _) in AUDITOR {
            assert!(
                permission.split('.').next_back() == Some("read") || permission.starts_with("reports."),
                "{permission}"
            );
            assert_ne!(*permission, "personal.read");
        }
    }

    #[test]
    fn an_administrator_sees_no_business_data() {
        for (permission, _) in ADMINISTRATOR {
            assert!(
                permission.starts_with("principals.")
                    || permission.starts_with("staff.")
                    || *permission == "caller.read",
                "{permission}"
            );
        }
    }
}
