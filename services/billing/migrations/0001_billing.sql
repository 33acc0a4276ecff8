-- Invoices, payments and the ledger. Sums are whole minor units of their currency.

-- The last number of each series and year. The statement that inserts an invoice adds 1, and never anything else, so
-- that numbers have no gaps: a transaction that rolls back gives its number back.
create table billing.counter (
  series text    not null,
  year   integer not null,
  last   bigint  not null check (last > 0),
  primary key (series, year)
);

-- What clients owe for confirmed orders. Only how much is paid ever changes.
create table billing.invoice (
  id          uuid        primary key,
  series      text        not null,
  -- Of the issue date in the business zone.
  year        integer     not null,
  number      bigint      not null check (number > 0),
  -- An order has one invoice, however often its confirmation is read.
  order_id    uuid        not null constraint invoice_order unique,
  contract_id uuid        not null,
  deal_id     uuid        not null,
  client_id   uuid        not null,
  currency    char(3)     not null,
  net         bigint      not null check (net >= 0),
  vat         bigint      not null check (vat >= 0),
  gross       bigint      not null,
  paid        bigint      not null,
  state       text        not null,
  issue_date  date        not null,
  issue_time  timestamptz not null,
  pay_time    timestamptz,
  version     bigint      not null,
  constraint invoice_number unique (series, year, number),
  -- What an allocation refers to, so that it cannot join two clients or two currencies.
  constraint invoice_payable unique (id, client_id, currency),
  constraint invoice_sums check (net + vat = gross),
  constraint invoice_paid check (paid between 0 and gross),
  constraint invoice_state check (
    state = case when paid = gross then 'paid' when paid = 0 then 'issued' else 'partly_paid' end),
  constraint invoice_pay_time check ((pay_time is not null) = (state = 'paid')),
  constraint invoice_year check (year = extract(year from issue_date))
);
create index invoice_newest on billing.invoice (issue_time desc, id desc);
create index invoice_client on billing.invoice (client_id, issue_time desc, id desc);
create index invoice_deal on billing.invoice (deal_id, issue_time desc, id desc);

create table billing.invoice_line (
  invoice_id    uuid    not null references billing.invoice,
  place         integer not null,
  order_line_id uuid    not null,
  quantity      numeric not null check (quantity > 0),
  unit_code     text    not null,
  unit_price    numeric not null check (unit_price >= 0),
  -- `none`, or the percent.
  vat_rate      text    not null check (vat_rate in ('none', '0', '5', '7', '10', '20', '22')),
  vat_included  boolean not null,
  net           bigint  not null check (net >= 0),
  vat           bigint  not null check (vat >= 0),
  gross         bigint  not null,
  primary key (invoice_id, place),
  constraint invoice_line_order_line unique (invoice_id, order_line_id),
  constraint invoice_line_sums check (net + vat = gross)
);

-- Money that clients paid. Only how much of it is allocated ever changes.
create table billing.payment (
  id          uuid        primary key,
  client_id   uuid        not null,
  currency    char(3)     not null,
  amount      bigint      not null check (amount > 0),
  allocated   bigint      not null,
  -- The bank's own reference: a statement that is loaded again records nothing twice.
  bank_ref    text        not null constraint payment_bank_ref unique,
  value_date  date        not null,
  version     bigint      not null,
  create_time timestamptz not null,
  update_time timestamptz not null,
  constraint payment_allocatable unique (id, client_id, currency),
  constraint payment_allocated check (allocated between 0 and amount)
);
create index payment_newest on billing.payment (create_time desc, id desc);
create index payment_client on billing.payment (client_id, create_time desc, id desc);

-- Which part of a payment pays which part of an invoice. Rows are only added.
create table billing.allocation (
  id              uuid        primary key,
  -- Grows with each part, for their order.
  place           bigint      generated always as identity,
  payment_id      uuid        not null,
  -- The version of the payment that it came with; 1 are those that the payment was recorded with.
  payment_version bigint      not null,
  invoice_id      uuid        not null,
  client_id       uuid        not null,
  currency        char(3)     not null,
  amount          bigint      not null check (amount > 0),
  create_time     timestamptz not null,
  constraint allocation_once unique (payment_id, payment_version, invoice_id),
  foreign key (payment_id, client_id, currency) references billing.payment (id, client_id, currency),
  foreign key (invoice_id, client_id, currency) references billing.invoice (id, client_id, currency)
);

-- The double-entry ledger. Rows are only added; there are no running totals, which every writer would queue for.
create table billing.ledger_transaction (
  -- The invoice, payment or allocation that it books: each is booked once.
  id        uuid        primary key,
  kind      text        not null check (kind in ('issue', 'payment', 'allocation')),
  book_time timestamptz not null
);

create table billing.ledger_entry (
  transaction_id uuid     not null references billing.ledger_transaction,
  leg            smallint not null,
  account        text     not null check (account in ('receivable', 'advance', 'bank', 'revenue', 'vat_payable')),
  client_id      uuid     not null,
  currency       char(3)  not null,
  -- Debit is positive.
  amount         bigint   not null check (amount <> 0),
  primary key (transaction_id, leg)
);
-- What a client paid in advance is read from the index alone.
create index ledger_entry_advance on billing.ledger_entry (client_id, currency) include (amount)
  where account = 'advance';

-- All legs of a transaction come in one statement, so that their sum can be checked over what the statement inserted. A
-- deferred trigger for each row checks the same ten times slower.
create function billing.check_ledger_balance() returns trigger language plpgsql as $$
begin
  if exists (select from inserted group by transaction_id, currency having sum(amount) <> 0) then
    raise exception 'a ledger transaction does not balance'
      using errcode = 'check_violation', schema = 'billing', table = 'ledger_entry', constraint = 'ledger_balance';
  end if;
  return null;
end
$$;
create trigger ledger_balance after insert on billing.ledger_entry referencing new table as inserted
  for each statement execute function billing.check_ledger_balance();

-- Who answers for which client and deal, built from the feed of leads. Resources without a row are reached by those
-- alone who reach everything.
create table billing.access (
  generation  bigint not null,
  kind        text   not null check (kind in ('client', 'deal')),
  resource_id uuid   not null,
  owner_id    uuid   not null,
  team_id     uuid   not null,
  primary key (generation, kind, resource_id)
);
create index access_owner on billing.access (owner_id, kind);
create index access_team on billing.access (team_id, kind);

-- What every scoped query joins. One statement sees one build, whichever becomes the live one meanwhile.
create view billing.live_access as
  select kind, resource_id, owner_id, team_id from billing.access
  where generation = (select live from billing.projection where name = 'billing.access');
