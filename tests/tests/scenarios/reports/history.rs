//! A random history of two departments, made through public RPCs and noted from their answers alone.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use otdel_api::{billing as bl, common::Money, contracts as ct, leads as pb};
use otdel_runtime::convert::timestamp;
use otdel_tests::{
    dice::Dice,
    door::Door,
    eventually::known,
    papers::{self, minor},
    refusal::reason,
    staff::{self, Department, id},
    suite::Suite,
};

/// A request as it was answered for.
#[derive(Clone, Debug)]
pub struct Lead {
    /// Its name.
    pub name: String,
    /// When it was received.
    pub received: NaiveDate,
    /// What brought it; `(missing)` for none.
    pub origin: String,
    /// How it came.
    pub channel: pb::Channel,
    /// Who answers for it; empty while nobody does.
    pub owner: String,
    /// The owner's team; of a lead that went to the pool, the last owner's.
    pub team: String,
    /// Where it stands.
    pub state: pb::lead::State,
}

/// A sale as it was answered for.
#[derive(Clone, Debug)]
pub struct Deal {
    /// Its name.
    pub name: String,
    /// Which of the leads it came from.
    pub lead: usize,
    /// Who buys.
    pub client: String,
    /// Who answers for it.
    pub owner: String,
    /// The owner's team.
    pub team: String,
    /// The pipeline version.
    pub pipeline: String,
    /// The stages that it entered.
    pub stages: Vec<String>,
    /// When it was opened.
    pub opened: NaiveDate,
    /// How it stands.
    pub state: pb::deal::State,
    /// When it was won, and what it was worth.
    pub win: Option<(NaiveDate, Option<Money>)>,
}

/// An invoice as it was answered for.
#[derive(Clone, Debug)]
pub struct Invoice {
    name: String,
    /// Which of the deals it is for.
    pub deal: usize,
    /// Its date.
    pub issued: NaiveDate,
    /// The currency of its sums.
    pub currency: String,
    /// Net, VAT and gross in minor units.
    pub sums: [i64; 3],
    open: i64,
}

/// What was allocated to an invoice.
#[derive(Clone, Debug)]
pub struct Part {
    /// Which of the invoices.
    pub invoice: usize,
    /// When.
    pub allocated: NaiveDate,
    /// How much, in minor units.
    pub amount: i64,
}

/// Everything that was acknowledged.
#[derive(Debug, Default)]
pub struct History {
    /// The leads.
    pub leads: Vec<Lead>,
    /// The deals.
    pub deals: Vec<Deal>,
    /// The invoices.
    pub invoices: Vec<Invoice>,
    /// What was paid of them.
    pub parts: Vec<Part>,
    /// The last change of leads.
    pub change: String,
}

/// What a teller may do next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Submit,
    Assign,
    Convert,
    Describe,
    Advance,
    Win,
    Lose,
    Sell,
    Pay,
}

/// Leads that wait for an answer: they may change hands by themselves.
const WAITING: [pb::lead::State; 2] = [pb::lead::State::Pooled, pb::lead::State::Assigned];

/// Makes history.
pub struct Teller<'a> {
    suite: &'a Suite,
    departments: &'a [Department; 2],
    pipelines: Vec<pb::Pipeline>,
    dice: Dice,
    now: DateTime<Utc>,
    /// What was made.
    pub history: History,
}

impl<'a> Teller<'a> {
    /// One that throws these dice.
    pub async fn new(suite: &'a Suite, departments: &'a [Department; 2], seed: u64) -> Self {
        let stage = |name: &str| pb::Stage { id: name.into(), display_name: name.into(), gates: vec![] };
        let pipeline = pb::Pipeline {
            code: "import".into(),
            display_name: "Импорт".into(),
            stages: vec![stage("first"), stage("second"), stage("third")],
            ..Default::default()
        };
        let request = pb::CreatePipelineRequest { request_id: id(), pipeline: Some(pipeline) };
        known(|| async { suite.admin.pipelines().create_pipeline(request.clone()).await }).await.unwrap();
        let ask = pb::ListPipelinesRequest::default();
        let pipelines = known(|| async { suite.admin.pipelines().list_pipelines(ask.clone()).await }).await.unwrap();
        let (dice, now, pipelines) = (Dice::new(seed), suite.now().await, pipelines.pipelines);
        Self { suite, departments, pipelines, dice, now, history: History::default() }
    }

    fn pipeline(&self, code: &str) -> &pb::Pipeline {
        self.pipelines.iter().find(|pipeline| pipeline.code == code).unwrap()
    }

    fn admin(&self) -> &Door {
        &self.suite.admin
    }

    /// A month of it: requests that come at night, days of work, and an hour in which nobody answers. After it others are
    /// there to take over, or nobody is.
    pub async fn month(&mut self, others: bool) {
        self.shifts(0).await;
        self.submit().await;
        self.submit().await;
        self.shifts(1_000).await;
        self.steps(&[(Step::Submit, 9), (Step::Assign, 2), (Step::Convert, 7), (Step::Describe, 3), (Step::Sell, 2)])
            .await;
        self.steps(&[(Step::Convert, 1), (Step::Advance, 9), (Step::Win, 4), (Step::Lose, 2), (Step::Pay, 2)]).await;
        self.shifts(if others { 1_000 } else { 0 }).await;
        self.pass(TimeDelta::hours(1)).await;
        self.steps(&[(Step::Submit, 2), (Step::Convert, 2), (Step::Sell, 1), (Step::Advance, 2), (Step::Pay, 2)]).await;
    }

    /// Makes each step so many times, all of them in an order that the dice choose.
    async fn steps(&mut self, times: &[(Step, usize)]) {
        let mut left: Vec<Step> = times.iter().flat_map(|(step, times)| vec![*step; *times]).collect();
        while !left.is_empty() {
            let at = self.dice.below(left.len());
            match left.swap_remove(at) {
                Step::Submit => self.submit().await,
                Step::Assign => self.assign().await,
                Step::Convert => self.convert().await,
                Step::Describe => self.describe().await,
                Step::Advance => self.advance().await,
                Step::Win => self.win().await,
                Step::Lose => self.lose().await,
                Step::Sell => self.sell().await,
                Step::Pay => self.pay().await,
            }
        }
    }

    /// Goes on to another month. Whoever waits for an answer gets one first.
    pub async fn next_month(&mut self) {
        self.shifts(1_000).await;
        for at in 0..self.history.leads.len() {
            if self.history.leads[at].state == pb::lead::State::Assigned {
                self.contact(at).await;
            }
        }
        let days = 28 + self.dice.below(7);
        self.pass(TimeDelta::days(i64::try_from(days).unwrap())).await;
    }

    fn open_deal(&mut self) -> Option<usize> {
        one_of(&mut self.dice, &self.history.deals, |deal| deal.state == pb::deal::State::Open)
    }

    /// Puts everybody on shift or off it. Who comes gets what waits in the pool.
    async fn shifts(&mut self, capacity: i32) {
        for department in self.departments {
            for person in [&department.manager, &department.colleague] {
                staff::on_shift(self.admin(), &person.person, capacity).await;
            }
        }
        self.pass(TimeDelta::zero()).await;
    }

    /// Lets time pass, and reads who holds the leads that may have changed hands by themselves.
    async fn pass(&mut self, time: TimeDelta) {
        self.now += time;
        self.suite.advance(self.now).await;
        for at in 0..self.history.leads.len() {
            if !WAITING.contains(&self.history.leads[at].state) {
                continue;
            }
            let ask = pb::GetLeadRequest { name: self.history.leads[at].name.clone() };
            let lead = known(|| async { self.admin().leads().get_lead(ask.clone()).await }).await.unwrap();
            self.note(at, &lead.lead.unwrap());
        }
    }

    fn note(&mut self, at: usize, lead: &pb::Lead) {
        let noted = &mut self.history.leads[at];
        noted.state = lead.state();
        noted.owner.clone_from(&lead.owner);
        if !lead.team.is_empty() {
            noted.team.clone_from(&lead.team);
        }
    }

    async fn submit(&mut self) {
        let channels =
            [pb::Channel::Phone, pb::Channel::Email, pb::Channel::Social, pb::Channel::Site, pb::Channel::WalkIn];
        let channel = *self.dice.of(&channels);
        let origin = (*self.dice.of(&["", "fair", "реклама", "(missing)", "Ads"])).to_owned();
        let past = TimeDelta::hours(i64::try_from(self.dice.below(90 * 24)).unwrap());
        // A few write again and again, so that clients get more than one deal.
        let email = format!("{}@example.org", self.dice.below(12));
        let request = pb::SubmitLeadRequest {
            request_id: id(),
            channel: channel.into(),
            origin: origin.clone(),
            source_ref: id(),
            contact: Some(pb::LeadContact { display_name: "Ёж".into(), email, ..Default::default() }),
            text: String::new(),
            receive_time: (self.dice.below(3) > 0).then(|| timestamp(self.now - past)),
        };
        let answer = known(|| async { self.admin().leads().submit_lead(request.clone()).await }).await.unwrap();
        let lead = answer.lead.unwrap();
        self.history.change = answer.change;
        self.history.leads.push(Lead {
            name: lead.name.clone(),
            received: date(lead.receive_time.as_ref()),
            origin: if origin.is_empty() { "(missing)".into() } else { origin },
            channel,
            owner: String::new(),
            team: String::new(),
            state: lead.state(),
        });
        self.note(self.history.leads.len() - 1, &lead);
    }

    async fn assign(&mut self) {
        let waiting = |lead: &Lead| WAITING.contains(&lead.state);
        let Some(at) = one_of(&mut self.dice, &self.history.leads, waiting) else { return };
        let department = self.dice.of(self.departments);
        let owner = self.dice.of(&[&department.manager, &department.colleague]).person.clone();
        let name = self.history.leads[at].name.clone();
        let request = pb::AssignLeadRequest { request_id: id(), name, etag: String::new(), owner };
        match known(|| async { self.admin().leads().assign_lead(request.clone()).await }).await {
            Ok(answer) => {
                self.history.change = answer.change;
                self.note(at, &answer.lead.unwrap());
            }
            Err(status) => assert_eq!(reason(&status).1, "NO_CAPACITY"),
        }
    }

    async fn contact(&mut self, at: usize) {
        let request = pb::LogContactRequest {
            request_id: id(),
            name: self.history.leads[at].name.clone(),
            kind: pb::ContactKind::Call.into(),
            outcome: pb::ContactOutcome::Reached.into(),
            ..Default::default()
        };
        let answer = known(|| async { self.admin().leads().log_contact(request.clone()).await }).await.unwrap();
        self.history.change = answer.change;
        self.note(at, &answer.lead.unwrap());
    }

    async fn convert(&mut self) {
        let held = |lead: &Lead| [pb::lead::State::Assigned, pb::lead::State::Contacted].contains(&lead.state);
        let Some(at) = one_of(&mut self.dice, &self.history.leads, held) else { return };
        self.contact(at).await;
        let code = *self.dice.of(&["default", "import", "import"]);
        let pipeline = self.pipeline(code).name.clone();
        let name = self.history.leads[at].name.clone();
        let request = pb::ConvertLeadRequest { request_id: id(), name, etag: String::new(), pipeline };
        let answer = known(|| async { self.admin().leads().convert_lead(request.clone()).await }).await.unwrap();
        let deal = answer.deal.unwrap();
        self.history.change = answer.change;
        self.note(at, &answer.lead.unwrap());
        self.history.deals.push(Deal {
            name: deal.name,
            lead: at,
            client: deal.client,
            owner: deal.owner,
            team: deal.team,
            pipeline: deal.pipeline,
            stages: vec![deal.stage],
            opened: date(deal.create_time.as_ref()),
            state: pb::deal::State::Open,
            win: None,
        });
    }

    async fn describe(&mut self) {
        let Some(at) = self.open_deal() else { return };
        self.describe_as_worth(at).await;
    }

    async fn describe_as_worth(&mut self, at: usize) {
        let (currency, units) = *self.dice.of(&[("RUB", 1_000_000), ("JPY", 70_000), ("USD", 900)]);
        let units = i64::try_from(self.dice.below(units)).unwrap();
        let nanos = if currency == "JPY" { 0 } else { i32::try_from(self.dice.below(100)).unwrap() * 10_000_000 };
        let request = pb::DescribeDealRequest {
            request_id: id(),
            name: self.history.deals[at].name.clone(),
            etag: String::new(),
            need: "Склад".into(),
            amount: Some(Money { currency_code: currency.into(), units, nanos }),
        };
        let answer = known(|| async { self.admin().deals().describe_deal(request.clone()).await }).await.unwrap();
        self.history.change = answer.change;
    }

    async fn advance(&mut self) {
        let Some(at) = self.open_deal() else { return };
        let deal = &self.history.deals[at];
        let pipeline = self.pipelines.iter().find(|pipeline| pipeline.name == deal.pipeline).unwrap();
        let Some(next) = pipeline.stages.get(deal.stages.len()) else { return };
        let (name, stage) = (deal.name.clone(), next.id.clone());
        let request = pb::AdvanceStageRequest { request_id: id(), name, etag: String::new(), stage };
        match known(|| async { self.admin().deals().advance_stage(request.clone()).await }).await {
            Ok(answer) => {
                self.history.change = answer.change;
                self.history.deals[at].stages.push(answer.deal.unwrap().stage);
            }
            Err(status) => assert_eq!(reason(&status).1, "GATE_SHUT"),
        }
    }

    async fn win(&mut self) {
        let import = self.pipeline("import").name.clone();
        let open = |deal: &Deal| deal.state == pb::deal::State::Open && deal.pipeline == import;
        let Some(at) = one_of(&mut self.dice, &self.history.deals, open) else { return };
        if self.dice.below(2) == 0 {
            self.describe_as_worth(at).await;
        }
        let past = TimeDelta::hours(i64::try_from(self.dice.below(80 * 24)).unwrap());
        let win_time = (self.dice.below(3) > 0).then(|| timestamp(self.now - past));
        let name = self.history.deals[at].name.clone();
        let request = pb::MarkWonRequest { request_id: id(), name, etag: String::new(), win_time };
        match known(|| async { self.admin().deals().mark_won(request.clone()).await }).await {
            Ok(answer) => {
                let deal = answer.deal.unwrap();
                self.history.change = answer.change;
                self.history.deals[at].state = deal.state();
                self.history.deals[at].win = Some((date(deal.win_time.as_ref()), deal.amount));
            }
            Err(status) => assert_eq!(reason(&status).1, "STAGE_SKIPPED"),
        }
    }

    async fn lose(&mut self) {
        let Some(at) = self.open_deal() else { return };
        let request = pb::CloseLostRequest {
            request_id: id(),
            name: self.history.deals[at].name.clone(),
            reason: pb::LossReason::Price.into(),
            ..Default::default()
        };
        let answer = known(|| async { self.admin().deals().close_lost(request.clone()).await }).await.unwrap();
        self.history.change = answer.change;
        self.history.deals[at].state = answer.deal.unwrap().state();
    }

    /// A contract, an order and its invoice.
    async fn sell(&mut self) {
        let Some(at) = self.open_deal() else { return };
        let currency = *self.dice.of(&["RUB", "RUB", "USD"]);
        let price = format!("{}.{:02}", 1 + self.dice.below(5_000), self.dice.below(100));
        let line = papers::line("3", &price, ct::VatRate::VatRate22);
        let (author, approver) = (&self.suite.admin, &self.departments[0].director.door);
        let contract = papers::draft_in(author, &self.history.deals[at].name, currency, vec![line]).await.unwrap();
        let contract = papers::hand_in(author, &contract.name).await.unwrap();
        papers::approve(approver, &contract).await.unwrap();
        papers::sign(author, &contract.name).await.unwrap();
        let order = papers::order(author, &contract.name, vec![]).await.unwrap();
        papers::confirm(author, &order.name).await.unwrap();
        // What follows depends on it: its invoice, and the gates that it opens.
        self.suite.settle().await;
        let ask = bl::ListInvoicesRequest { order: order.name, ..Default::default() };
        let list = known(|| async { author.invoices().list_invoices(ask.clone()).await }).await.unwrap();
        let [invoice]: [bl::Invoice; 1] = list.invoices.try_into().unwrap();
        let issued = invoice.issue_date.unwrap();
        let sums = [&invoice.net, &invoice.vat, &invoice.gross].map(|sum| minor(sum.as_ref()));
        self.history.invoices.push(Invoice {
            name: invoice.name,
            deal: at,
            issued: NaiveDate::from_ymd_opt(issued.year, issued.month.cast_unsigned(), issued.day.cast_unsigned())
                .unwrap(),
            currency: currency.to_owned(),
            sums,
            open: sums[2],
        });
    }

    /// A payment for some of what a client owes, allocated at once or afterwards.
    async fn pay(&mut self) {
        let Some(first) = one_of(&mut self.dice, &self.history.invoices, |invoice| invoice.open > 0) else { return };
        let parts = self.parts_beside(first);
        let currency = self.history.invoices[first].currency.clone();
        let allocations: Vec<_> = parts
            .iter()
            .map(|part| bl::Allocation {
                invoice: self.history.invoices[part.invoice].name.clone(),
                amount: Some(money(part.amount, &currency)),
            })
            .collect();
        let at_once = self.dice.below(2) == 0;
        let total: i64 = parts.iter().map(|part| part.amount).sum();
        let request = bl::RecordPaymentRequest {
            request_id: id(),
            client: self.history.deals[self.history.invoices[first].deal].client.clone(),
            amount: Some(money(total + 1, &currency)),
            bank_ref: id(),
            value_date: Some(self.suite.today().await),
            allocations: if at_once { allocations.clone() } else { vec![] },
        };
        let recorded = known(|| async { self.admin().payments().record_payment(request.clone()).await }).await.unwrap();
        if !at_once {
            let name = recorded.payment.unwrap().name;
            let request = bl::AllocatePaymentRequest { request_id: id(), name, etag: String::new(), allocations };
            known(|| async { self.admin().payments().allocate_payment(request.clone()).await }).await.unwrap();
        }
        self.suite.settle().await;
        self.history.parts.extend(parts);
    }

    /// Parts of up to three invoices of one client and currency.
    fn parts_beside(&mut self, first: usize) -> Vec<Part> {
        let History { deals, invoices, .. } = &mut self.history;
        let (client, currency) = (deals[invoices[first].deal].client.clone(), invoices[first].currency.clone());
        let mut parts = Vec::new();
        for (at, invoice) in invoices.iter_mut().enumerate() {
            let of_client = deals[invoice.deal].client == client && invoice.currency == currency;
            if of_client && invoice.open > 0 && parts.len() < 3 {
                let amount = 1 + i64::try_from(self.dice.below(usize::try_from(invoice.open).unwrap())).unwrap();
                invoice.open -= amount;
                parts.push(Part { invoice: at, allocated: self.now.date_naive(), amount });
            }
        }
        parts
    }
}

/// One of those that a step can be made with.
fn one_of<T>(dice: &mut Dice, all: &[T], can: impl Fn(&T) -> bool) -> Option<usize> {
    let can: Vec<usize> = all.iter().enumerate().filter(|(_, one)| can(one)).map(|(at, _)| at).collect();
    if can.is_empty() { None } else { Some(*dice.of(&can)) }
}

/// A sum of a currency with two digits after the point.
fn money(minor: i64, currency: &str) -> Money {
    let nanos = i32::try_from(minor % 100).unwrap() * 10_000_000;
    Money { currency_code: currency.to_owned(), units: minor / 100, nanos }
}

/// The date of an instant in the business zone of the tests, which is UTC.
fn date(time: Option<&prost_types::Timestamp>) -> NaiveDate {
    DateTime::from_timestamp(time.unwrap().seconds, 0).unwrap().date_naive()
}
