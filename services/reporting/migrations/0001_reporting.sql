-- Read models of leads, deals and money, built from the feeds of leads, contracts and billing alone. No RPC writes them.
--
-- Every table is written by the facts of one source only, and what belongs together is joined when a report is read. A
-- source's feed has one order, so that the rows are the same however the feeds interleave: an invoice may come before
-- its deal is known.
--
-- `generation` tells which build of the read model a row belongs to: a rebuild fills the next one beside the live one.
-- What no report reads is not kept: a rebuild brings it when one does. Dates are those of the business zone, decided
-- when the fact is read; months are the first day of theirs.

-- From leads.
create table reporting.lead (
  generation    bigint  not null,
  lead_id       uuid    not null,
  receive_date  date    not null,
  receive_month date    not null generated always as (receive_date - extract(day from receive_date)::integer + 1) stored,
  channel       text    not null constraint lead_channel check (channel in ('phone', 'email', 'social', 'site', 'walk_in')),
  -- `(missing)` where the request named none.
  origin        text    not null constraint lead_origin check (origin <> ''),
  -- Who answers for it: what the scope of a report is compared with. Null while it waits in the pool.
  owner_id      uuid,
  -- The owner's team; while pooled the team that had it last, whose head still reaches it. Null where none has had it
  -- yet: every head of a team reaches it.
  team_id       uuid,
  -- Whether its deal was won.
  won           boolean not null default false,
  primary key (generation, lead_id)
);
create index lead_month on reporting.lead (generation, receive_month);
create index lead_owner on reporting.lead (generation, owner_id, receive_month);
create index lead_team on reporting.lead (generation, team_id, receive_month);

-- From leads. It also says who reaches the deal's invoices and payments.
create table reporting.deal (
  generation   bigint  not null,
  deal_id      uuid    not null,
  lead_id      uuid    not null,
  owner_id     uuid    not null,
  team_id      uuid    not null,
  pipeline_id  uuid    not null,
  stage        text    not null,
  state        text    not null constraint deal_state check (state in ('open', 'won', 'lost')),
  open_date    date    not null,
  open_month   date    not null generated always as (open_date - extract(day from open_date)::integer + 1) stored,
  -- Of the lead that the deal came from; they never change.
  receive_date date    not null,
  channel      text    not null constraint deal_channel check (channel in ('phone', 'email', 'social', 'site', 'walk_in')),
  origin       text    not null,
  win_date     date,
  win_month    date    generated always as (win_date - extract(day from win_date)::integer + 1) stored,
  -- From the request to the win; negative where an importer says that the win came first.
  cycle_days   integer generated always as (win_date - receive_date) stored,
  -- What it was worth when it was won, in minor units; null where unknown.
  amount       bigint,
  currency     char(3),
  primary key (generation, deal_id),
  constraint deal_won check ((win_date is not null) = (state = 'won')),
  constraint deal_amount check ((amount is null) = (currency is null))
);
create index deal_opened on reporting.deal (generation, open_month);
create index deal_won_month on reporting.deal (generation, win_month) where state = 'won';
create index deal_owner on reporting.deal (generation, owner_id);
create index deal_team on reporting.deal (generation, team_id);

-- From leads: the first time that a deal entered a stage.
create table reporting.stage_entry (
  generation bigint not null,
  deal_id    uuid   not null,
  stage      text   not null,
  -- Of the event in the feed of leads: which entry came before which.
  position   bigint not null,
  primary key (generation, deal_id, stage)
);

-- From billing. The deal may be unknown for as long as the feed of leads is behind that of billing.
create table reporting.invoice (
  generation  bigint  not null,
  invoice_id  uuid    not null,
  deal_id     uuid    not null,
  client_id   uuid    not null,
  issue_date  date    not null,
  issue_month date    not null generated always as (issue_date - extract(day from issue_date)::integer + 1) stored,
  currency    char(3) not null,
  net         bigint  not null,
  vat         bigint  not null,
  gross       bigint  not null,
  primary key (generation, invoice_id)
);
create index invoice_month on reporting.invoice (generation, issue_month);
create index invoice_client on reporting.invoice (generation, client_id);
create index invoice_deal on reporting.invoice (generation, deal_id);

-- From billing: the parts of payments that pay invoices.
create table reporting.allocation (
  generation     bigint  not null,
  -- Of the event in the feed of billing, and the part's place in it.
  position       bigint  not null,
  part           integer not null,
  deal_id        uuid    not null,
  client_id      uuid    not null,
  allocate_date  date    not null,
  allocate_month date    not null generated always as (allocate_date - extract(day from allocate_date)::integer + 1) stored,
  currency       char(3) not null,
  amount         bigint  not null,
  primary key (generation, position, part)
);
create index allocation_month on reporting.allocation (generation, allocate_month);
create index allocation_client on reporting.allocation (generation, client_id);
create index allocation_deal on reporting.allocation (generation, deal_id);
