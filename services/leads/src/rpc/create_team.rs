use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::TeamId;

use super::present;
use crate::{
    Leads,
    domain::staff::{Team, is_region_code},
    error::Error,
    store,
};

/// Makes a team.
pub(crate) async fn create_team(
    app: Leads,
    call: Call<pb::CreateTeamRequest>,
) -> Result<pb::CreateTeamResponse, Error> {
    let CreateTeam { display_name, region_code } = CreateTeam::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }

    let team = Team { id: TeamId::new(), display_name, region_code, create_time: call.now };

    store::teams::insert(&mut tx, &team).await?;
    let fact = Fact::<pb::LeadEvent>::about(team.id, pb::TeamCreated { team: team.id.to_string() });
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::CreateTeamResponse { team: Some(present::team(&team)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct CreateTeam {
    display_name: String,
    region_code: String,
}

impl TryFrom<&pb::CreateTeamRequest> for CreateTeam {
    type Error = Violations;

    fn try_from(msg: &pb::CreateTeamRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let team = wrong.message("team", msg.team.as_ref()).cloned().unwrap_or_default();
        let display_name = wrong.text("team.display_name", team.display_name.trim(), 200);
        let region_code = is_region_code(&team.region_code).then_some(team.region_code);
        let region_code = region_code.ok_or("must be at most 20 upper-case letters, digits and -");
        let region_code = wrong.take("team.region_code", region_code);
        match (request, display_name, region_code) {
            (Some(_), Some(display_name), Some(region_code)) => {
                wrong.into_result().map(|()| Self { display_name, region_code })
            }
            _ => Err(wrong),
        }
    }
}
