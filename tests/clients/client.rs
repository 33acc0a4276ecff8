//! Otdel from Rust with `otdel-api`.
//!
//!     cargo run -p otdel-tests --bin otdel-client -- 127.0.0.1:7400 "$(otdel token)"
//!
//! A request arrives, is answered and becomes a deal; then what happened is read from the feed.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it stands for a program of somebody else's")]

use std::{env, error::Error, future::Future, time::Duration};

use otdel_api::{
    common::Money,
    leads::{
        AdvanceStageRequest, Channel, ContactKind, ContactOutcome, ConvertLeadRequest, DescribeDealRequest,
        LeadContact, LeadEvent, LogContactRequest, SubmitLeadRequest, SubscribeRequest, SubscribeResponse,
        deal_service_client::DealServiceClient, lead_event_service_client::LeadEventServiceClient,
        lead_service_client::LeadServiceClient, subscribe_response::Item,
    },
};
use tokio::time::sleep;
use tonic::{
    Code, Request, Response, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel as Connection, Endpoint},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// What the generated clients stand on: one connection that is made again when it breaks, and the key.
type Keyed = InterceptedService<Connection, Bearer>;

/// Puts the key into every call.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Connects when the first call is made. A gateway that serves TLS: `https://` and `Endpoint::tls_config`.
fn connect(address: &str, key: &str) -> Result<Keyed, Box<dyn Error>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    let key = format!("Bearer {key}").parse()?;
    Ok(InterceptedService::new(endpoint.connect_lazy(), Bearer(key)))
}

/// The pauses between tries.
const PAUSES_MS: [u64; 5] = [100, 200, 500, 1000, 2000];

/// Makes a call, and makes it again while the server cannot be reached, sheds load or went away with the answer. That is
/// safe because every RPC reads or carries a request id.
async fn send<M: Clone, A, F>(message: &M, call: impl Fn(Request<M>) -> F) -> Result<A, Status>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    for pause in PAUSES_MS {
        match once(message, &call).await {
            Err(status) if is_passing(&status) => {
                let asked = status.get_details_retry_info().and_then(|retry| retry.retry_delay).unwrap_or_default();
                sleep(Duration::from_millis(pause).max(asked)).await;
            }
            outcome => return outcome,
        }
    }
    once(message, &call).await
}

async fn once<M: Clone, A, F>(message: &M, call: impl Fn(Request<M>) -> F) -> Result<A, Status>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut request = Request::new(message.clone());
    request.set_timeout(Duration::from_secs(10));
    call(request).await.map(Response::into_inner)
}

/// Whether the same request may be sent once more. A status with a source was made here because the connection ended under
/// the call, and tonic names it by what HTTP/2 said last: a server that takes its leave in good order reads INTERNAL, an
/// answer that breaks off UNKNOWN.
fn is_passing(status: &Status) -> bool {
    status.code() == Code::Unavailable || status.source().is_some()
}

/// The events after a cursor as they happen, for ever: when a stream ends, the next one goes on where it ended.
///
/// Keep each event's cursor in the same transaction as what you do about the event. Then it is done once, whatever breaks
/// between two lines.
struct Feed {
    events: LeadEventServiceClient<Keyed>,
    /// What to send again with the last cursor.
    request: SubscribeRequest,
    stream: Option<Streaming<SubscribeResponse>>,
}

impl Feed {
    fn after(cursor: &str, subjects: &[String], keyed: &Keyed) -> Self {
        let events = LeadEventServiceClient::new(keyed.clone());
        let request =
            SubscribeRequest { start_after: cursor.into(), subjects: subjects.to_vec(), ..Default::default() };
        Self { events, request, stream: None }
    }

    async fn next(&mut self) -> Result<LeadEvent, Status> {
        loop {
            match self.receive().await {
                Ok(Some(answer)) => match answer.item {
                    Some(Item::Event(event)) => {
                        self.request.start_after = event.envelope.clone().unwrap_or_default().cursor;
                        return Ok(event);
                    }
                    // The place moved without an event.
                    Some(Item::Checkpoint(place)) => self.request.start_after = place.cursor,
                    Some(Item::CaughtUp(place)) => self.request.start_after = place.cursor,
                    None => {}
                },
                Ok(None) => self.stream = None,
                // Once a minute by design (REAUTHORIZE), or because the server or the connection went away.
                Err(status) if is_passing(&status) => {
                    self.stream = None;
                    sleep(Duration::from_millis(100)).await;
                }
                // DATA_LOSS: the server was restored to an earlier state. Begin again with an empty cursor.
                Err(status) => return Err(status),
            }
        }
    }

    /// What comes next on the stream, which is opened where there is none. None where it has ended.
    async fn receive(&mut self) -> Result<Option<SubscribeResponse>, Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.events.subscribe(self.request.clone()).await?.into_inner()),
        };
        stream.message().await
    }
}

/// A refusal as somebody reads it who has to do something about it. Decide on the reason, never on the text.
fn show_refusal(status: &Status) {
    let details = status.get_error_details();
    let (reason, metadata) =
        details.error_info().map(|info| (info.reason.clone(), info.metadata.clone())).unwrap_or_default();
    println!("refused: {:?} {reason} {metadata:?}", status.code());
    println!("  {}", status.message());
    for violation in details.bad_request().iter().flat_map(|bad| &bad.field_violations) {
        println!("  {}: {}", violation.field, violation.description);
    }
}

fn show_event(event: &LeadEvent) {
    let envelope = event.envelope.clone().unwrap_or_default();
    println!("event {} {}", envelope.position, envelope.r#type);
}

/// A request id: a new one for each intent, the same one for each attempt at it. Keep it before you send.
fn new_id() -> String {
    Uuid::new_v4().to_string()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [address, key] = env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "usage: ADDRESS KEY")?;
    let keyed = connect(&address, &key)?;
    let leads = LeadServiceClient::new(keyed.clone());
    let submit = |request| async { leads.clone().submit_lead(request).await };

    let contact = LeadContact { phone: "12".into(), ..Default::default() };
    let request = SubmitLeadRequest { request_id: new_id(), contact: Some(contact), ..Default::default() };
    if let Err(status) = send(&request, submit).await {
        show_refusal(&status);
    }

    let request = SubmitLeadRequest {
        request_id: new_id(),
        channel: Channel::Site.into(),
        source_ref: format!("form-{}", Uuid::new_v4()),
        contact: Some(LeadContact {
            display_name: "Анна Ёлкина".into(),
            email: format!("{}@example.org", Uuid::new_v4()),
            ..Default::default()
        }),
        text: "Сколько стоит ваша продукция?".into(),
        ..Default::default()
    };
    let answer = send(&request, submit).await?;
    let lead = answer.lead.clone().unwrap_or_default();
    println!("submitted: {}", lead.name);
    if send(&request, submit).await? == answer {
        println!("sent again: the same answer");
    }
    if lead.owner.is_empty() {
        return Err("nobody is on shift: on a fresh suite run somebody_on_shift.sh first".into());
    }

    let request = LogContactRequest {
        request_id: new_id(),
        name: lead.name.clone(),
        kind: ContactKind::Call.into(),
        outcome: ContactOutcome::Reached.into(),
        ..Default::default()
    };
    send(&request, |request| async { leads.clone().log_contact(request).await }).await?;
    let request = ConvertLeadRequest { request_id: new_id(), name: lead.name.clone(), ..Default::default() };
    let converted = send(&request, |request| async { leads.clone().convert_lead(request).await }).await?;
    let deal = converted.deal.unwrap_or_default().name;
    let (change, stage) = propose(&keyed, &deal).await?;
    println!("deal: {deal} at stage {stage}");

    let subjects = [lead.name, deal];
    let mut feed = Feed::after("", &subjects, &keyed);
    let mut cursor = String::new();
    for _ in 0..2 {
        let event = feed.next().await?;
        show_event(&event);
        cursor = event.envelope.unwrap_or_default().cursor;
    }
    drop(feed);
    println!("broken off, going on after the last cursor");
    let mut feed = Feed::after(&cursor, &subjects, &keyed);
    loop {
        let event = feed.next().await?;
        show_event(&event);
        if change.ends_with(&event.envelope.unwrap_or_default().event_id) {
            return Ok(());
        }
    }
}

/// Says what the client needs and brings the deal to its next stage; tells the last change and the stage.
async fn propose(keyed: &Keyed, deal: &str) -> Result<(String, String), Status> {
    let deals = DealServiceClient::new(keyed.clone());
    let request = DescribeDealRequest {
        request_id: new_id(),
        name: deal.into(),
        need: "Оснастить склад до конца квартала".into(),
        amount: Some(Money { currency_code: "RUB".into(), units: 110, nanos: 130_000_000 }),
        ..Default::default()
    };
    send(&request, |request| async { deals.clone().describe_deal(request).await }).await?;
    let enter = |stage: &str| AdvanceStageRequest {
        request_id: new_id(),
        name: deal.into(),
        stage: stage.into(),
        ..Default::default()
    };
    let advance = |request| async { deals.clone().advance_stage(request).await };
    if let Err(status) = send(&enter("paid"), advance).await {
        show_refusal(&status);
    }
    let answer = send(&enter("proposal"), advance).await?;
    Ok((answer.change, answer.deal.unwrap_or_default().stage))
}
