use std::slice;

use chrono::{DateTime, Utc};
use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    fault::Explain as _,
    idempotency::{self, Claim},
    violations::Violations,
};
use tonic::Code;

use super::intake::{Desk, Outcome};
use crate::{
    Leads,
    domain::{
        contact,
        lead::{Channel, Intake, Lead},
    },
    error::Error,
};

/// What a request is answered with.
pub(crate) type Answer = Result<pb::SubmitLeadResponse, Error>;

/// A request that was read.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) call: Call<pb::SubmitLeadRequest>,
    pub(crate) ask: SubmitLead,
}

/// Takes in a request and gives it an owner and a deadline in the same transaction (I1, I2, I3). Repeating it with the
/// same `request_id`, or with the same source reference and content, returns the first lead.
///
/// Whoever gives out leads holds the rota until the commit. One by one, intake would be as slow as the disk; so what comes
/// meanwhile is taken in together, in one transaction, with the same rule for each.
pub(crate) async fn submit_lead(app: Leads, call: Call<pb::SubmitLeadRequest>) -> Answer {
    let ask = SubmitLead::parse(&call.msg, call.now)?;
    if ask.receive_time.is_some_and(|received| received < call.now) {
        call.require("leads.import")?;
    }
    app.intake.ask(Asked { call, ask }, |lot| take_in(app.clone(), lot)).await?
}

/// Takes in a lot. Where the database refuses it for the sake of one, the others do not suffer: each is tried alone.
async fn take_in(app: Leads, lot: Vec<Asked>) -> Vec<Answer> {
    let error = match attempt(&app, &lot).await {
        Ok(answers) => return answers,
        Err(error) => error.explain(),
    };
    // Overload and a database that is away would be met again by each of them.
    if lot.len() <= 1 || error.code == Code::Unavailable {
        return lot.iter().map(|_| Err(error.clone().into())).collect();
    }
    tracing::warn!(reason = error.reason, cause = ?error.cause, calls = lot.len(), "lot failed, trying its calls one by one");
    let mut answers = Vec::with_capacity(lot.len());
    for asked in &lot {
        let one = attempt(&app, slice::from_ref(asked)).await;
        answers.push(one.and_then(|mut answers| answers.pop().unwrap_or_else(|| Err(error.clone().into()))));
    }
    answers
}

/// One transaction for a lot, in the order of every use case: claim, load, decide, save, event, answer, commit.
async fn attempt(app: &Leads, lot: &[Asked]) -> Result<Vec<Answer>, Error> {
    let calls: Vec<_> = lot.iter().map(|asked| &asked.call).collect();
    let mut tx = app.core.begin().await?;
    let claims = idempotency::claim_all(&mut tx, &calls).await?;
    let claimed: Vec<bool> = claims.iter().map(|claim| matches!(claim, Claim::New)).collect();
    let mut desk = Desk::open(&mut tx, lot).await?;

    let decided = lot.iter().zip(claims).enumerate().map(|(at, (asked, claim))| match claim {
        Claim::New => desk.take_in(at, asked),
        Claim::Answered(first) => Outcome::Answered(Ok(first)),
        Claim::Reused(fault) => Outcome::Answered(Err(fault.into())),
        Claim::SameAs(earlier) => Outcome::SameAs(earlier),
    });
    let decided: Vec<Outcome> = decided.collect();

    let written = desk.write(&mut tx, lot).await?;
    let mut answers: Vec<Answer> = Vec::with_capacity(lot.len());
    for (asked, outcome) in lot.iter().zip(decided) {
        answers.push(match outcome {
            Outcome::Answered(answer) => answer,
            Outcome::SameAs(earlier) => copy(&answers[earlier]),
            Outcome::Lead(found) => Ok(written.answer(&asked.call, found)),
        });
    }
    let kept = lot.iter().zip(&answers).zip(&claimed).filter(|(_, claimed)| **claimed);
    let kept: Vec<_> = kept.map(|((asked, answer), _)| (&asked.call, answer.as_ref().ok())).collect();
    idempotency::finish_all(&mut tx, &kept, &written.events).await?;
    app.core.commit(tx).await?;
    Ok(answers)
}

/// The same answer again, for a call that came twice at the same time.
fn copy(answer: &Answer) -> Answer {
    answer.as_ref().cloned().map_err(|error| error.explain().into())
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct SubmitLead {
    pub(crate) intake: Intake,
    pub(crate) receive_time: Option<DateTime<Utc>>,
}

impl SubmitLead {
    /// Whether a lead was made by this source reference.
    pub(crate) fn is_of(&self, lead: &Lead) -> bool {
        (self.intake.channel, &self.intake.source_ref) == (lead.intake.channel, &lead.intake.source_ref)
    }

    /// Whether an earlier request is this one sent again.
    pub(crate) fn repeats(&self, before: &Lead) -> bool {
        before.intake == self.intake && self.receive_time.is_none_or(|received| received == before.receive_time)
    }

    fn parse(msg: &pb::SubmitLeadRequest, now: DateTime<Utc>) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let receive_time = wrong.optional_instant("receive_time", msg.receive_time.as_ref());
        if receive_time.flatten().is_some_and(|received| received > now) {
            wrong.add("receive_time", "must not be in the future");
        }
        let intake = intake(&mut wrong, msg);
        match (request, receive_time, intake) {
            // What is wrong in itself may have left every value readable.
            (Some(_), Some(receive_time), Some(intake)) => wrong.into_result().map(|()| Self { intake, receive_time }),
            _ => Err(wrong),
        }
    }
}

fn intake(wrong: &mut Violations, msg: &pb::SubmitLeadRequest) -> Option<Intake> {
    let channel = wrong.choice("channel", msg.channel).and_then(channel);
    let origin = wrong.optional_text("origin", msg.origin.trim(), 100);
    // Events carry it, and what is in an event stays there.
    if contact::reaches_a_person(&msg.origin) {
        wrong.add("origin", "must name a source, not a person");
    }
    let source_ref = wrong.text("source_ref", msg.source_ref.trim(), 200);
    let contact = wrong.message("contact", msg.contact.as_ref()).cloned().unwrap_or_default();
    let display_name = wrong.text("contact.display_name", contact.display_name.trim(), 200);
    let phone = wrong.take("contact.phone", contact::phone(&contact.phone));
    let email = wrong.take("contact.email", contact::email(&contact.email));
    if phone.as_deref() == Some("") && email.as_deref() == Some("") {
        wrong.add("contact", "must have a phone or an e-mail");
    }
    let text = wrong.optional_text("text", &msg.text, 10_000);
    Some(Intake {
        channel: channel?,
        origin: origin?,
        source_ref: source_ref?,
        display_name: display_name?,
        phone: phone?,
        email: email?,
        text: text?,
    })
}

fn channel(channel: pb::Channel) -> Option<Channel> {
    match channel {
        pb::Channel::Unspecified => None,
        pb::Channel::Phone => Some(Channel::Phone),
        pb::Channel::Email => Some(Channel::Email),
        pb::Channel::Social => Some(Channel::Social),
        pb::Channel::Site => Some(Channel::Site),
        pb::Channel::WalkIn => Some(Channel::WalkIn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(origin: &str, source_ref: &str, name: &str) -> Result<Intake, Violations> {
        let contact =
            pb::LeadContact { display_name: name.into(), phone: "8 495 123-45-67".into(), ..Default::default() };
        let msg = pb::SubmitLeadRequest {
            request_id: uuid::Uuid::now_v7().to_string(),
            channel: pb::Channel::Site.into(),
            origin: origin.into(),
            source_ref: source_ref.into(),
            contact: Some(contact),
            ..Default::default()
        };
        SubmitLead::parse(&msg, DateTime::UNIX_EPOCH).map(|ask| ask.intake)
    }

    #[test]
    fn white_space_around_a_reference_makes_no_other_reference() {
        let plain = parse("ads", "form-1", "Ёлкин").unwrap();
        assert_eq!(parse(" ads\n", "\tform-1 ", "  Ёлкин "), Ok(plain));
    }

    #[test]
    fn an_origin_that_reaches_a_person_is_refused() {
        for origin in ["ivan@example.org", "+7 495 123-45-67"] {
            let wrong = parse(origin, "form-1", "Ёлкин").unwrap_err();
            let told: Vec<_> = wrong.0.iter().map(|one| (one.field.as_str(), one.text.as_str())).collect();
            assert_eq!(told, [("origin", "must name a source, not a person")]);
        }
    }
}
