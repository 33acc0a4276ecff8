//! The people of a test's sales department, with their keys.

use otdel_api::leads as pb;
use ring::digest;
use uuid::Uuid;

use crate::{
    door::Door,
    eventually::{eventually, known},
};

/// Somebody who calls.
#[derive(Clone, Debug)]
pub struct Somebody {
    /// `people/{uuid}`; empty for a system.
    pub person: String,
    /// `principals/{uuid}`.
    pub principal: String,
    /// `{id}.{secret}`.
    pub key: String,
    /// The gateway, in this one's name.
    pub door: Door,
}

impl Somebody {
    /// `apiKeys/{uuid}`.
    pub fn key_name(&self) -> String {
        let (id, _) = self.key.split_once('.').expect("an id and a secret");
        format!("apiKeys/{id}")
    }
}

/// A new request id.
pub fn id() -> String {
    Uuid::now_v7().to_string()
}

/// Makes a team.
pub async fn team(admin: &Door, name: &str) -> String {
    let team = pb::Team { display_name: name.into(), region_code: "RU-MOW".into(), ..Default::default() };
    let request = pb::CreateTeamRequest { request_id: id(), team: Some(team) };
    known(|| async { admin.staff().create_team(request.clone()).await })
        .await
        .expect("a team")
        .team
        .expect("a team")
        .name
}

/// Makes a person with a principal of these roles and a key that works. Heads of department head their own team.
pub async fn person(admin: &Door, name: &str, team: &str, roles: &[pb::Role]) -> Somebody {
    let person = pb::Person { display_name: name.into(), team: team.into(), ..Default::default() };
    let request = pb::CreatePersonRequest { request_id: id(), person: Some(person) };
    let made = known(|| async { admin.staff().create_person(request.clone()).await }).await.expect("a person");
    let person = made.person.expect("a person");
    let heads = if roles.contains(&pb::Role::HeadOfDepartment) { vec![team.to_owned()] } else { vec![] };
    let principal = pb::Principal {
        display_name: name.into(),
        person: person.name.clone(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        teams: heads,
        ..Default::default()
    };
    somebody(admin, principal).await
}

/// Makes a service account with these permissions and a key that works.
pub async fn system(admin: &Door, name: &str, permissions: &[&str]) -> Somebody {
    let principal = pb::Principal {
        display_name: name.into(),
        roles: vec![pb::Role::ServiceAccount.into()],
        permissions: permissions.iter().map(|permission| (*permission).into()).collect(),
        ..Default::default()
    };
    somebody(admin, principal).await
}

/// Makes a principal with a key that works.
pub async fn somebody(admin: &Door, principal: pb::Principal) -> Somebody {
    let person = principal.person.clone();
    let request = pb::CreatePrincipalRequest { request_id: id(), principal: Some(principal) };
    let made =
        known(|| async { admin.principals().create_principal(request.clone()).await }).await.expect("a principal");
    let principal = made.principal.expect("a principal").name;
    let key = key_of(admin, pb::ApiKey { principal: principal.clone(), ..Default::default() }).await;
    let door = admin.with_key(&key);
    eventually("a new key works", || async {
        door.gateway().get_caller(otdel_api::gateway::GetCallerRequest {}).await.map_err(|status| status.code())
    })
    .await;
    Somebody { person, principal, key, door }
}

/// Makes a key on these terms, which works within seconds.
pub async fn key_of(admin: &Door, terms: pb::ApiKey) -> String {
    let (secret, digest) = secret();
    let api_key = pb::ApiKey { display_name: "test".into(), ..terms };
    let request = pb::CreateApiKeyRequest { request_id: id(), api_key: Some(api_key), secret_digest: digest };
    let made = known(|| async { admin.principals().create_api_key(request.clone()).await }).await.expect("a key");
    let name = made.api_key.expect("a key").name;
    format!("{}.{secret}", name.trim_start_matches("apiKeys/"))
}

/// A secret and its digest.
pub fn secret() -> (String, Vec<u8>) {
    let secret = otdel::private::random_text().expect("random bytes");
    let digest = digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().to_vec();
    (secret, digest)
}

/// Puts a person on shift with room for this many leads.
pub async fn on_shift(by: &Door, person: &str, capacity: i32) {
    let request = pb::SetShiftRequest {
        request_id: id(),
        name: person.into(),
        etag: String::new(),
        on_shift: capacity > 0,
        capacity,
    };
    known(|| async { by.staff().set_shift(request.clone()).await }).await.expect("a shift");
}

/// A small department: a team with two managers on shift and a head, an accountant and a director.
#[derive(Clone, Debug)]
pub struct Department {
    /// The team.
    pub team: String,
    /// Manages leads and deals.
    pub manager: Somebody,
    /// Another manager of the team.
    pub colleague: Somebody,
    /// Heads the team.
    pub head: Somebody,
    /// Records payments.
    pub accountant: Somebody,
    /// Answers for all sales.
    pub director: Somebody,
}

/// Makes a department with both managers on shift.
pub async fn department(admin: &Door) -> Department {
    let team = team(admin, "Отдел продаж № 1").await;
    let manager = person(admin, "Анна Ёлкина", &team, &[pb::Role::Manager]).await;
    let colleague = person(admin, "Борис Щукин", &team, &[pb::Role::Manager]).await;
    let head = person(admin, "Вера Юрьева", &team, &[pb::Role::HeadOfDepartment]).await;
    let accountant = person(admin, "Глеб Эрин", &team, &[pb::Role::Accountant]).await;
    let director = person(admin, "Дина Жук", &team, &[pb::Role::CommercialDirector]).await;
    on_shift(admin, &manager.person, 100_000).await;
    on_shift(admin, &colleague.person, 100_000).await;
    Department { team, manager, colleague, head, accountant, director }
}
