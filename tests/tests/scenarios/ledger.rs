//! The books balance at every moment, and nobody can make them not to.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use otdel_api::{
    billing as bl,
    common::{Date, Money},
    contracts as ct,
};
use otdel_tests::{
    cluster::Database,
    dice::Dice,
    door::Door,
    eventually::known,
    papers::{self, minor},
    refusal::reason,
    staff::{self, Department, id},
    story::{Step, Story, roubles},
    suite::{Suite, Topology},
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};
use tokio::sync::watch;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const SERVICES: [&str; 4] = ["leads", "contracts", "billing", "reporting"];

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_balance_is_not_booked_by_anybody() {
    let database = Database::standing().await;
    let mut superuser = database.pool("billing").await.acquire().await.unwrap().detach();
    for db in [&mut database.app("billing").await, &mut superuser] {
        db.execute("begin; insert into billing.ledger_transaction values (gen_random_uuid(), 'payment', now())")
            .await
            .unwrap();
        db.execute("insert into billing.ledger_transaction values (gen_random_uuid(), 'payment', now())")
            .await
            .unwrap();
        let (one, two) = (
            "(select min(id::text)::uuid from billing.ledger_transaction)",
            "(select max(id::text)::uuid from billing.ledger_transaction)",
        );
        for (what, legs) in [
            ("a leg alone", format!("({one}, 1, 'bank', 'RUB', 5)")),
            ("unequal legs", format!("({one}, 1, 'bank', 'RUB', 5), ({one}, 2, 'advance', 'RUB', -4)")),
            ("two currencies", format!("({one}, 1, 'bank', 'RUB', 5), ({one}, 2, 'advance', 'USD', -5)")),
            ("two transactions", format!("({one}, 1, 'bank', 'RUB', 5), ({two}, 1, 'advance', 'RUB', -5)")),
        ] {
            db.execute("savepoint before").await.unwrap();
            let refused = book(db, &legs).await.expect_err(what);
            assert_eq!(refused.as_database_error().unwrap().constraint(), Some("ledger_balance"), "{what}: {refused}");
            db.execute("rollback to before").await.unwrap();
        }
        let balanced = format!("({one}, 1, 'bank', 'RUB', 5), ({one}, 2, 'advance', 'RUB', -5)");
        book(db, &balanced).await.expect("what balances is booked");
        db.execute("rollback").await.unwrap();
    }
}

/// Inserts legs, each (transaction, leg, account, currency, amount), in one statement.
async fn book(db: &mut PgConnection, legs: &str) -> sqlx::Result<()> {
    let sql = format!(
        "insert into billing.ledger_entry (transaction_id, leg, account, client_id, currency, amount)
         select id, leg, account, gen_random_uuid(), currency, amount
         from (values {legs}) as leg (id, leg, account, currency, amount)"
    );
    db.execute(AssertSqlSafe(sql)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_service_rewrites_what_was_booked_or_told() {
    let database = Database::standing().await;
    for service in SERVICES {
        let mut db = database.app(service).await;
        for told in ["id", "type", "subject", "related", "deal", "occur_time", "payload"] {
            denied(&mut db, &format!("update {service}.outbox set {told} = {told}")).await;
        }
        for all in ["delete from", "truncate"] {
            denied(&mut db, &format!("{all} {service}.outbox")).await;
        }
        // Its place is given later, so the role may do that much.
        let place = format!("update {service}.outbox set position = position, hash = hash");
        db.execute(AssertSqlSafe(place)).await.unwrap();
    }
    let mut billing = database.app("billing").await;
    for table in ["ledger_transaction", "ledger_entry", "allocation", "invoice_line", "invoice", "payment"] {
        for sql in ["delete from", "truncate"] {
            denied(&mut billing, &format!("{sql} billing.{table}")).await;
        }
        denied(&mut billing, &format!("alter table billing.{table} disable trigger all")).await;
    }
    for (table, column) in [
        ("ledger_transaction", "kind"),
        ("ledger_transaction", "book_time"),
        ("ledger_entry", "amount"),
        ("ledger_entry", "account"),
        ("ledger_entry", "currency"),
        ("ledger_entry", "client_id"),
        ("allocation", "amount"),
        ("invoice_line", "net"),
        ("invoice", "gross"),
        ("invoice", "number"),
        ("payment", "amount"),
        ("payment", "bank_ref"),
    ] {
        denied(&mut billing, &format!("update billing.{table} set {column} = {column}")).await;
    }
}

async fn denied(db: &mut PgConnection, sql: &str) {
    let refused = db.execute(AssertSqlSafe(sql.to_owned())).await.expect_err(sql);
    let code = refused.as_database_error().and_then(sqlx::error::DatabaseError::code);
    assert_eq!(code.as_deref(), Some("42501"), "{sql}: {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_service_reads_the_schema_of_another() {
    let database = Database::standing().await;
    let superuser = database.pool("public").await;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = any($1) and c.relkind in ('r', 'p', 'v', 'm')",
    )
    .bind(SERVICES.as_slice())
    .fetch_all(&superuser)
    .await
    .unwrap();
    for service in SERVICES {
        let mut db = database.app(service).await;
        for (schema, table) in &tables {
            let read = format!("select from {schema}.{table} limit 0");
            if schema == service {
                db.execute(AssertSqlSafe(read)).await.unwrap_or_else(|refused| panic!("its own {table}: {refused}"));
            } else {
                denied(&mut db, &read).await;
            }
        }
        for other in SERVICES.into_iter().filter(|other| *other != service) {
            denied(&mut db, &format!("create table {other}.mine ()")).await;
            denied(&mut db, &format!("set role otdel_{other}_app")).await;
            denied(&mut db, &format!("set role otdel_{other}_owner")).await;
        }
        db.close().await.unwrap();
    }
    assert!(tables.len() > 40, "only {} tables were found", tables.len());
}

/// A client with invoices of 100 roubles each.
struct Debtor {
    client: String,
    invoices: Vec<String>,
}

async fn debtor(suite: &Suite, staff: &Department, invoices: usize) -> Debtor {
    let mut story = Story::new(staff, suite.today().await);
    story.tell_until(Step::Draft).await;
    let door = &suite.admin;
    let pieces = |number: usize| vec![papers::line(&number.to_string(), "100", ct::VatRate::None)];
    let contract = papers::signed(door, &staff.director.door, &story.deal, pieces(invoices)).await;
    let orders = join_all((0..invoices).map(|_| papers::order(door, &contract.name, pieces(1)))).await;
    join_all(orders.iter().map(|order| papers::confirm(door, &order.as_ref().unwrap().name))).await;
    suite.settle().await;
    let ask = bl::ListInvoicesRequest { client: story.client.clone(), page_size: 200, ..Default::default() };
    let found = door.invoices().list_invoices(ask).await.unwrap().into_inner().invoices;
    assert_eq!(found.len(), invoices);
    Debtor { client: story.client, invoices: found.into_iter().map(|invoice| invoice.name).collect() }
}

fn part(invoice: &str, units: i64) -> bl::Allocation {
    bl::Allocation { invoice: invoice.into(), amount: Some(roubles(units, 0)) }
}

fn payment(value_date: Date, client: &str, amount: Money, bank_ref: &str) -> bl::RecordPaymentRequest {
    bl::RecordPaymentRequest {
        request_id: id(),
        client: client.into(),
        amount: Some(amount),
        bank_ref: bank_ref.into(),
        value_date: Some(value_date),
        allocations: vec![],
    }
}

async fn record(door: &Door, request: &bl::RecordPaymentRequest) -> Result<bl::RecordPaymentResponse, Status> {
    known(|| async { door.payments().record_payment(request.clone()).await }).await
}

async fn allocate(door: &Door, payment: &str, etag: &str, parts: Vec<bl::Allocation>) -> Result<bl::Payment, Status> {
    let request =
        bl::AllocatePaymentRequest { request_id: id(), name: payment.into(), etag: etag.into(), allocations: parts };
    let answer = known(|| async { door.payments().allocate_payment(request.clone()).await }).await?;
    Ok(answer.payment.unwrap())
}

async fn trial_balance(door: &Door) -> bl::GetTrialBalanceResponse {
    known(|| async { door.ledger().get_trial_balance(bl::GetTrialBalanceRequest {}).await }).await.unwrap()
}

fn sums_by_currency(trial: &bl::GetTrialBalanceResponse) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for account in &trial.balances {
        let balance = account.balance.as_ref().unwrap();
        *sums.entry(balance.currency_code.clone()).or_default() += minor(Some(balance));
    }
    sums
}

/// What one teller was told was done, in kopecks.
#[derive(Debug, Default)]
struct Done {
    recorded: BTreeMap<String, i64>,
    paid: BTreeMap<String, i64>,
    bookings: i64,
}

impl Done {
    fn book(&mut self, parts: &[bl::Allocation]) {
        for part in parts {
            *self.paid.entry(part.invoice.clone()).or_default() += minor(part.amount.as_ref());
            self.bookings += 1;
        }
    }

    fn take_in(&mut self, other: Self) {
        for (all, more) in [(&mut self.recorded, other.recorded), (&mut self.paid, other.paid)] {
            for (key, sum) in more {
                *all.entry(key).or_default() += sum;
            }
        }
        self.bookings += other.bookings;
    }
}

const TELLERS: u64 = 16;
const EACH: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_at_every_moment_under_sixteen_tellers() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let (one, two) = (debtor(&suite, &staff, 6).await, debtor(&suite, &staff, 6).await);
    let debtors: Arc<[Debtor]> = Arc::from([one, two]);
    let today = suite.today().await;
    let mut done = Done::default();
    let shared = record_some(&staff.accountant.door, &debtors, today, &mut done).await;
    let before = trial_balance(&suite.admin).await.transactions;

    let (open, closed) = watch::channel(());
    let auditors = [
        tokio::spawn(audit_by_rpc(staff.accountant.door.clone(), closed.clone())),
        tokio::spawn(audit_the_documents(suite.database.pool("billing").await, closed)),
    ];
    let tellers = (1..=TELLERS).map(|seed| {
        let (door, debtors, shared) = (staff.accountant.door.clone(), debtors.clone(), shared.clone());
        tokio::spawn(async move { tell(&door, &debtors, shared, today, seed).await })
    });
    let tellers: Vec<_> = tellers.collect();
    for teller in join_all(tellers).await {
        done.take_in(teller.unwrap());
    }
    drop(open);
    for audits in join_all(auditors).await {
        assert!(audits.unwrap() > 1, "hardly anybody looked meanwhile");
    }

    let trial = trial_balance(&suite.admin).await;
    assert_eq!(trial.transactions, before + done.bookings);
    let bank = trial.balances.iter().find(|one| one.account() == bl::Account::Bank).unwrap();
    assert_eq!(minor(bank.balance.as_ref()), done.recorded.values().sum::<i64>());
    for debtor in debtors.iter() {
        acknowledged_is_kept(&suite.admin, debtor, &done).await;
    }
    suite.stop().await;
}

/// Payments that every teller allocates.
async fn record_some(door: &Door, debtors: &[Debtor], today: Date, done: &mut Done) -> Vec<String> {
    let mut payments = Vec::new();
    for debtor in debtors {
        let answer = record(door, &payment(today, &debtor.client, roubles(300, 0), &id())).await.unwrap();
        payments.push(answer.payment.unwrap().name);
        done.recorded.insert(debtor.client.clone(), 30_000);
    }
    payments
}

/// Records and allocates, more often than there is something to allocate.
async fn tell(door: &Door, debtors: &[Debtor], mut payments: Vec<String>, today: Date, seed: u64) -> Done {
    let (mut dice, mut done) = (Dice::new(seed), Done::default());
    for at in 0..EACH {
        let debtor = &debtors[dice.below(debtors.len())];
        let mut parts: Vec<bl::Allocation> = Vec::new();
        for _ in 0..=dice.below(3) {
            let invoice = &debtor.invoices[dice.below(debtor.invoices.len())];
            if parts.iter().all(|part| part.invoice != *invoice) {
                parts.push(part(invoice, i64::try_from(1 + dice.below(25)).unwrap()));
            }
        }
        let outcome = if dice.below(4) == 0 {
            let amount = roubles(40, 0);
            let mut request = payment(today, &debtor.client, amount, &format!("{seed}-{at}"));
            request.allocations.clone_from(&parts);
            let answer = record(door, &request).await;
            answer.map(|answer| {
                payments.push(answer.payment.unwrap().name);
                *done.recorded.entry(debtor.client.clone()).or_default() += 4_000;
                done.bookings += 1;
            })
        } else {
            allocate(door, &payments[dice.below(payments.len())], "", parts.clone()).await.map(drop)
        };
        match outcome.map_err(|status| reason(&status)) {
            Ok(()) => done.book(&parts),
            Err((Code::FailedPrecondition, why)) => {
                let expected = ["PAYMENT_EXCEEDED", "INVOICE_EXCEEDED", "INVOICE_NOT_PAYABLE"];
                assert!(expected.contains(&why.as_str()), "{why}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    done
}

/// Sums the ledger again and again until the tellers are done, and tells how often.
async fn audit_by_rpc(door: Door, closed: watch::Receiver<()>) -> usize {
    let mut audits = 0;
    while closed.has_changed().is_ok() {
        let trial = trial_balance(&door).await;
        assert!(sums_by_currency(&trial).values().all(|sum| *sum == 0), "{trial:?}");
        audits += 1;
    }
    audits
}

/// Compares what the documents say of each other and of the ledger, at one instant each time.
async fn audit_the_documents(db: PgPool, closed: watch::Receiver<()>) -> usize {
    let mut audits = 0;
    while closed.has_changed().is_ok() {
        let wrong: i64 = sqlx::query_scalar(
            "select (select count(*) from payment left join
                         (select payment_id as id, sum(amount) as parts from allocation group by 1) used using (id)
                     where allocated <> coalesce(parts, 0))
                  + (select count(*) from invoice left join
                         (select invoice_id as id, sum(amount) as parts from allocation group by 1) used using (id)
                     where paid <> coalesce(parts, 0))
                  + ((select sum(amount) from ledger_entry where account = 'receivable')
                       <> (select sum(gross - paid) from invoice))::integer
                  + (coalesce((select -sum(amount) from ledger_entry where account = 'advance'), 0)
                       <> (select coalesce(sum(amount - allocated), 0) from payment))::integer",
        )
        .fetch_one(&db)
        .await
        .unwrap();
        assert_eq!(wrong, 0, "documents and ledger disagree");
        audits += 1;
    }
    audits
}

/// What was acknowledged is there, once, and nothing else is.
async fn acknowledged_is_kept(door: &Door, debtor: &Debtor, done: &Done) {
    let ask = bl::ListInvoicesRequest { client: debtor.client.clone(), page_size: 200, ..Default::default() };
    let invoices = door.invoices().list_invoices(ask).await.unwrap().into_inner().invoices;
    for invoice in &invoices {
        let paid = done.paid.get(&invoice.name).copied().unwrap_or_default();
        assert_eq!(minor(invoice.paid.as_ref()), paid, "{}", invoice.name);
    }
    let paid: i64 = invoices.iter().map(|invoice| minor(invoice.paid.as_ref())).sum();
    let ask = bl::GetReceivablesRequest { client: debtor.client.clone() };
    let receivables = door.ledger().get_receivables(ask).await.unwrap().into_inner().receivables;
    let [receivable] = receivables.as_slice() else { panic!("{receivables:?}") };
    let sums = [&receivable.invoiced, &receivable.paid, &receivable.advance].map(|sum| minor(sum.as_ref()));
    let invoiced = i64::try_from(invoices.len()).unwrap() * 10_000;
    assert_eq!(sums, [invoiced, paid, done.recorded[&debtor.client] - paid]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_reference_recorded_at_once_is_one_payment() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let debtor = debtor(&suite, &staff, 1).await;
    let (door, invoice) = (&staff.accountant.door, &debtor.invoices[0]);
    let mut first = payment(suite.today().await, &debtor.client, roubles(150, 0), "пп-17");
    // The invoice is paid in full: a second recording would find nothing left to pay.
    first.allocations = vec![part(invoice, 100)];
    let sent = (0..8).map(|_| {
        let (door, request) = (door.clone(), bl::RecordPaymentRequest { request_id: id(), ..first.clone() });
        tokio::spawn(async move { record(&door, &request).await })
    });
    let sent: Vec<_> = sent.collect();
    let answers: Vec<_> = join_all(sent).await.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let ask = bl::ListPaymentsRequest { client: debtor.client.clone(), ..Default::default() };
    let payments = door.payments().list_payments(ask).await.unwrap().into_inner().payments;
    assert_eq!(payments, [answers[0].payment.clone().unwrap()]);
    // The issue, the payment and its allocation.
    assert_eq!(trial_balance(door).await.transactions, 3);

    for other in [
        bl::RecordPaymentRequest { amount: Some(roubles(151, 0)), ..first.clone() },
        bl::RecordPaymentRequest { allocations: vec![], ..first.clone() },
        bl::RecordPaymentRequest { allocations: vec![part(invoice, 99)], ..first.clone() },
    ] {
        let refused = record(door, &bl::RecordPaymentRequest { request_id: id(), ..other }).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::AlreadyExists, "BANK_REF_TAKEN".into()));
        assert_eq!(told(&refused, "payment"), payments[0].name);
    }
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_allocated_than_there_is() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let (one, two) = (debtor(&suite, &staff, 3).await, debtor(&suite, &staff, 1).await);
    let (door, today) = (&staff.accountant.door, suite.today().await);
    let paid = record(door, &payment(today, &one.client, roubles(150, 0), "пп-1")).await.unwrap().payment.unwrap();
    let dollars = Money { currency_code: "USD".into(), units: 150, nanos: 0 };
    let foreign = record(door, &payment(today, &one.client, dollars, "пп-2")).await.unwrap().payment.unwrap();
    let [first, second, third] = one.invoices.as_slice() else { panic!("{:?}", one.invoices) };
    let before = trial_balance(door).await;

    let unknown = format!("invoices/{}", uuid::Uuid::now_v7());
    for (payment, parts, why) in [
        (&paid, vec![part(first, 100), part(second, 51)], "PAYMENT_EXCEEDED"),
        (&paid, vec![part(second, 1), part(first, 101)], "INVOICE_EXCEEDED"),
        (&paid, vec![part(first, 1), part(&two.invoices[0], 1)], "INVOICE_NOT_PAYABLE"),
        (&paid, vec![part(first, 1), part(&unknown, 1)], "INVOICE_NOT_FOUND"),
        (&foreign, vec![in_dollars(first)], "INVOICE_NOT_PAYABLE"),
    ] {
        let refused = allocate(door, &payment.name, "", parts.clone()).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::FailedPrecondition, why.into()), "{refused:?}");
        match why {
            "PAYMENT_EXCEEDED" => assert_eq!(told(&refused, "left"), "150.00 RUB"),
            "INVOICE_EXCEEDED" => assert_eq!(told(&refused, "lacks"), "100.00 RUB"),
            _ => assert_eq!(told(&refused, "invoice"), parts.last().unwrap().invoice),
        }
        // What pays too much is not recorded either.
        let amount = payment.amount.clone().unwrap();
        let recording =
            bl::RecordPaymentRequest { allocations: parts, ..self::payment(today, &one.client, amount, &id()) };
        assert_eq!(reason(&record(door, &recording).await.unwrap_err()), (Code::FailedPrecondition, why.into()));
    }
    let ask = bl::GetPaymentRequest { name: paid.name.clone() };
    let now = door.payments().get_payment(ask).await.unwrap().into_inner().payment.unwrap();
    assert_eq!((now, trial_balance(door).await), (paid.clone(), before), "all or nothing");

    // Of sixteen at once as many are done as there is money for.
    let sent = (0..16).map(|at| {
        let (door, payment, invoice) = (door.clone(), paid.name.clone(), one.invoices[at % 2].clone());
        tokio::spawn(async move { allocate(&door, &payment, "", vec![part(&invoice, 20)]).await })
    });
    let sent: Vec<_> = sent.collect();
    let outcomes: Vec<_> = join_all(sent).await.into_iter().map(|outcome| outcome.unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 7);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        let (code, why) = reason(refused);
        assert!(code == Code::FailedPrecondition && ["PAYMENT_EXCEEDED", "INVOICE_EXCEEDED"].contains(&why.as_str()));
    }

    let stale = allocate(door, &paid.name, &paid.etag, vec![part(third, 1)]).await.unwrap_err();
    assert_eq!(reason(&stale), (Code::Aborted, "STALE_ETAG".into()));
    let current = told(&stale, "etag");
    let ask = bl::GetPaymentRequest { name: paid.name.clone() };
    assert_eq!(door.payments().get_payment(ask).await.unwrap().into_inner().payment.unwrap().etag, current);
    allocate(door, &paid.name, &current, vec![part(third, 1)]).await.expect("decided on what is");
    suite.stop().await;
}

fn in_dollars(invoice: &str) -> bl::Allocation {
    let amount = Money { currency_code: "USD".into(), units: 1, nanos: 0 };
    bl::Allocation { invoice: invoice.into(), amount: Some(amount) }
}

/// What a refusal tells beside its reason.
fn told(status: &Status, key: &str) -> String {
    status.get_details_error_info().and_then(|info| info.metadata.get(key).cloned()).unwrap_or_default()
}
