-- Requests, clients, deals, staff and principals. The only schema with personal data.

create table leads.team (
  id           uuid        primary key,
  display_name text        not null,
  region_code  text        not null,
  create_time  timestamptz not null
);
create index team_newest on leads.team (create_time desc, id desc);

create table leads.person (
  id           uuid        primary key,
  display_name text        not null,
  team_id      uuid        not null references leads.team,
  on_shift     boolean     not null,
  capacity     integer     not null check (capacity >= 0),
  -- Leads that are assigned or contacted. Kept beside them so that intake does not count.
  open_leads   integer     not null check (open_leads >= 0),
  -- When it was this person's turn last; the least comes next among equals.
  last_turn    bigint      not null,
  version      bigint      not null,
  create_time  timestamptz not null,
  update_time  timestamptz not null
);
create index person_newest on leads.person (create_time desc, id desc);
create index person_on_shift on leads.person (open_leads, last_turn, id) where on_shift;

-- Whose turn it is. One row: intake takes turns under its lock, so that the spread between people stays within one.
create table leads.rota (
  one  boolean primary key default true check (one),
  turn bigint  not null
);
insert into leads.rota (turn) values (0);

-- How soon a lead must be answered and how often it may change hands, by version.
create table leads.sla_policy (
  version          integer     primary key,
  respond_within_s integer     not null check (respond_within_s > 0),
  -- How often a lead may be given to somebody before it goes to the pool.
  most_rounds      integer     not null check (most_rounds > 0),
  create_time      timestamptz not null
);
insert into leads.sla_policy values (1, 3600, 4, '2026-01-01 00:00:00+00');

create table leads.client (
  id           uuid        primary key,
  display_name text        not null,
  phone        text        not null,
  email        text        not null,
  owner_id     uuid        not null references leads.person,
  team_id      uuid        not null references leads.team,
  version      bigint      not null,
  create_time  timestamptz not null,
  update_time  timestamptz not null,
  constraint client_reachable check (phone <> '' or email <> '')
);
create index client_newest on leads.client (create_time desc, id desc);
create index client_owner on leads.client (owner_id, create_time desc, id desc);
create index client_team on leads.client (team_id, create_time desc, id desc);
-- A phone or an e-mail is one client's: two conversions of the same requester at once make one client.
create unique index client_phone on leads.client (phone) where phone <> '';
create unique index client_email on leads.client (lower(email)) where email <> '';

-- Old and new values of personal fields; the events name the fields alone.
create table leads.field_history (
  id          bigint      generated always as identity primary key,
  client_id   uuid        not null references leads.client,
  field       text        not null,
  old_value   text        not null,
  new_value   text        not null,
  actor       text        not null,
  change_time timestamptz not null
);
create index field_history_client on leads.field_history (client_id, id);

create table leads.pipeline (
  id           uuid        primary key,
  code         text        not null,
  version      integer     not null,
  display_name text        not null,
  create_time  timestamptz not null,
  constraint pipeline_version unique (code, version)
);
create index pipeline_newest on leads.pipeline (create_time desc, id desc);

create table leads.stage (
  pipeline_id  uuid    not null references leads.pipeline,
  place        integer not null,
  id           text    not null,
  display_name text    not null,
  gates        text[]  not null
    constraint stage_gates check (gates <@ array['need', 'amount', 'contract_signed', 'invoice_issued', 'paid']),
  primary key (pipeline_id, place),
  constraint stage_id unique (pipeline_id, id),
  -- Deals begin at the first stage; nobody would look at its gates.
  constraint stage_first check (place > 0 or gates = '{}')
);

insert into leads.pipeline values
  ('00000000-0000-7000-8000-000000000001', 'default', 1, 'Sale', '2026-01-01 00:00:00+00');
insert into leads.stage values
  ('00000000-0000-7000-8000-000000000001', 0, 'qualified', 'Qualified', '{}'),
  ('00000000-0000-7000-8000-000000000001', 1, 'proposal', 'Proposal', '{need,amount}'),
  ('00000000-0000-7000-8000-000000000001', 2, 'contract', 'Contract', '{contract_signed}'),
  ('00000000-0000-7000-8000-000000000001', 3, 'payment', 'Payment', '{invoice_issued}'),
  ('00000000-0000-7000-8000-000000000001', 4, 'paid', 'Paid', '{paid}');

create table leads.lead (
  id              uuid        primary key,
  channel         text        not null check (channel in ('phone', 'email', 'social', 'site', 'walk_in')),
  origin          text        not null,
  source_ref      text        not null,
  display_name    text        not null,
  phone           text        not null,
  email           text        not null,
  body            text        not null,
  receive_time    timestamptz not null,
  state           text        not null check (state in ('pooled', 'assigned', 'contacted', 'converted', 'closed')),
  owner_id        uuid        references leads.person,
  -- The owner's team; for a pooled lead the team that had it last, whose head may give it out.
  team_id         uuid        references leads.team,
  round           integer     not null,
  assign_time     timestamptz,
  -- The deadline. Null when no clock runs.
  respond_by_time timestamptz,
  contact_time    timestamptz,
  holder_result   text        check (holder_result in ('met', 'breached')),
  client_result   text        check (client_result in ('met', 'breached')),
  close_reason    text        check (close_reason in ('spam', 'duplicate', 'no_interest', 'not_offered')),
  client_id       uuid        references leads.client,
  deal_id         uuid,
  sla_version     integer     not null references leads.sla_policy,
  version         bigint      not null,
  create_time     timestamptz not null,
  update_time     timestamptz not null,
  constraint lead_source unique (channel, source_ref),
  constraint lead_owned check ((owner_id is null) = (state = 'pooled') or state = 'closed'),
  constraint lead_clock check ((respond_by_time is not null) = (state = 'assigned')),
  constraint lead_answered check (
    state = 'closed' or (contact_time is not null) = (state in ('contacted', 'converted'))),
  constraint lead_results check (
    (contact_time is not null) = (holder_result is not null)
    and (contact_time is not null) = (client_result is not null)),
  constraint lead_converted check (
    (client_id is not null) = (state = 'converted') and (deal_id is not null) = (state = 'converted')),
  constraint lead_closed check ((close_reason is not null) = (state = 'closed'))
);
create index lead_newest on leads.lead (create_time desc, id desc);
create index lead_owner on leads.lead (owner_id, create_time desc, id desc);
create index lead_team on leads.lead (team_id, create_time desc, id desc);
create index lead_due on leads.lead (respond_by_time) where respond_by_time is not null;
create index lead_pool on leads.lead (create_time, id) where state = 'pooled';

-- What was sent, the policy pinned on it and the results of the first answer are for good.
create function leads.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'what is for good was to be changed' using errcode = 'check_violation', constraint = tg_name;
end
$$;
create trigger lead_intake before update on leads.lead for each row
  when ((old.id, old.channel, old.origin, old.source_ref, old.display_name, old.phone, old.email, old.body,
         old.receive_time, old.sla_version, old.create_time)
        is distinct from
        (new.id, new.channel, new.origin, new.source_ref, new.display_name, new.phone, new.email, new.body,
         new.receive_time, new.sla_version, new.create_time))
  execute function leads.refuse_change();
create trigger lead_first_answer before update on leads.lead for each row
  when (old.contact_time is not null
        and (old.contact_time, old.holder_result, old.client_result)
            is distinct from (new.contact_time, new.holder_result, new.client_result))
  execute function leads.refuse_change();

-- Who held a lead in which round. The key makes each deadline's effect happen once at most.
create table leads.lead_holder (
  lead_id     uuid        not null references leads.lead,
  round       integer     not null,
  person_id   uuid        not null references leads.person,
  assign_time timestamptz not null,
  primary key (lead_id, round)
);

create table leads.contact (
  id           uuid        primary key,
  lead_id      uuid        not null references leads.lead,
  -- The principal who made it.
  principal    text        not null,
  kind         text        not null check (kind in ('call', 'email', 'message', 'meeting')),
  outcome      text        not null check (outcome in ('reached', 'no_answer')),
  note         text        not null,
  contact_time timestamptz not null
);
create index contact_lead on leads.contact (lead_id, contact_time);

create table leads.deal (
  id           uuid        primary key,
  client_id    uuid        not null references leads.client,
  lead_id      uuid        not null unique references leads.lead,
  owner_id     uuid        not null references leads.person,
  team_id      uuid        not null references leads.team,
  pipeline_id  uuid        not null references leads.pipeline,
  stage        text        not null,
  state        text        not null check (state in ('open', 'won', 'lost')),
  need         text        not null,
  amount       bigint      check (amount >= 0),
  currency     char(3),
  win_time     timestamptz,
  lose_time    timestamptz,
  loss_reason  text        check (loss_reason in ('price', 'competitor', 'no_need', 'no_answer', 'other')),
  competitor   text        not null,
  version      bigint      not null,
  create_time  timestamptz not null,
  update_time  timestamptz not null,
  constraint deal_amount check ((amount is null) = (currency is null)),
  constraint deal_won check ((win_time is not null) = (state = 'won')),
  constraint deal_lost check (
    (lose_time is not null) = (state = 'lost') and (loss_reason is not null) = (state = 'lost')),
  constraint deal_competitor check ((competitor <> '') = coalesce(loss_reason = 'competitor', false)),
  foreign key (pipeline_id, stage) references leads.stage (pipeline_id, id)
);
create index deal_newest on leads.deal (create_time desc, id desc);
create index deal_owner on leads.deal (owner_id, create_time desc, id desc);
create index deal_team on leads.deal (team_id, create_time desc, id desc);
create index deal_client on leads.deal (client_id, create_time desc, id desc);
alter table leads.lead add constraint lead_deal foreign key (deal_id) references leads.deal;

-- Gates that facts of other services opened.
create table leads.gate (
  deal_id   uuid        not null references leads.deal,
  kind      text        not null check (kind in ('contract_signed', 'invoice_issued', 'paid')),
  -- `{service}/{event id}`
  proof     text        not null,
  open_time timestamptz not null,
  primary key (deal_id, kind)
);

-- What is known of the invoices of a deal's orders, so that the gate `paid` opens when every one of them is paid. By
-- order: after a restore of billing the order is invoiced again, and nobody ever pays the invoice that was lost.
create table leads.deal_invoice (
  order_id   uuid    primary key,
  deal_id    uuid    not null references leads.deal,
  invoice_id uuid    not null,
  paid       boolean not null
);
create index deal_invoice_deal on leads.deal_invoice (deal_id);

create table leads.principal (
  id           uuid        primary key,
  -- How a login or an operator names it, such as `issuer|subject`; null for those made by RPC.
  subject      text        constraint principal_subject unique,
  display_name text        not null,
  person_id    uuid        references leads.person,
  roles        text[]      not null
    constraint principal_roles check (roles <@ array['manager', 'lead_manager', 'head_of_department',
      'commercial_director', 'accountant', 'auditor', 'administrator', 'service_account']),
  permissions  text[]      not null,
  teams        uuid[]      not null,
  active       boolean     not null,
  version      bigint      not null,
  create_time  timestamptz not null,
  update_time  timestamptz not null,
  -- A person's rights follow from roles.
  constraint principal_permissions check (person_id is null or permissions = '{}')
);
create index principal_newest on leads.principal (create_time desc, id desc);

create table leads.api_key (
  id            uuid        primary key,
  principal_id  uuid        not null references leads.principal,
  display_name  text        not null,
  -- SHA-256 of the secret; the secret itself was never here.
  secret_digest bytea       not null constraint api_key_secret unique check (length(secret_digest) = 32),
  expire_time   timestamptz,
  revoke_time   timestamptz,
  create_time   timestamptz not null
);
create index api_key_newest on leads.api_key (create_time desc, id desc);

-- Grows with every change of principals and keys; what the gateway compares.
create table leads.directory (
  one     boolean primary key default true check (one),
  version bigint  not null
);
insert into leads.directory (version) values (1);
