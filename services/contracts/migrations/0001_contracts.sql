-- Contracts, their approvals, and orders. What is sold and for how much; who buys is an id.

-- Who answers for a deal and whether it was lost, as the feed of leads says it, build by build.
create table contracts.access (
  generation bigint not null,
  deal_id    uuid   not null,
  client_id  uuid   not null,
  owner_id   uuid   not null,
  team_id    uuid   not null,
  -- Nothing more is agreed on or ordered for a deal that was lost. One that was won goes on being delivered.
  lost       boolean not null default false,
  primary key (generation, deal_id)
);
create index access_owner on contracts.access (generation, owner_id);
create index access_team on contracts.access (generation, team_id);

-- Which build is live. 1 before the follower has run for the first time.
create view contracts.access_build as
  select coalesce((select p.live from contracts.projection p where p.name = 'contracts.access'), 1) as live;

-- The same as leads answered when a contract was drafted, so that who drafts reaches the contract at once. It counts
-- until the live build knows the deal, which removes it, and is no part of any build: a build comes from the feed alone.
-- The deal was open then.
create table contracts.answered_access (
  deal_id   uuid primary key,
  client_id uuid not null,
  owner_id  uuid not null,
  team_id   uuid not null
);

-- Which deals a caller reaches, and with them their contracts and orders: what every scoped query reads. One statement
-- sees one build, whichever becomes the live one meanwhile.
create view contracts.live_access as
  select a.deal_id, a.client_id, a.owner_id, a.team_id, a.lost
  from contracts.access a
  where a.generation = (select b.live from contracts.access_build b)
  union all
  select n.deal_id, n.client_id, n.owner_id, n.team_id, false
  from contracts.answered_access n
  where not exists (
    select from contracts.access a
    where a.deal_id = n.deal_id and a.generation = (select b.live from contracts.access_build b));

-- The last number that was given, by kind and business year. The statement that inserts a document moves it, so a
-- number exists exactly when its document does: without gaps, and none twice.
create table contracts.counter (
  kind text    not null check (kind in ('contract')),
  year integer not null,
  last bigint  not null check (last > 0),
  primary key (kind, year)
);

create table contracts.contract (
  id                 uuid        primary key,
  year               integer     not null,
  number             bigint      not null check (number > 0),
  deal_id            uuid        not null,
  client_id          uuid        not null,
  currency           char(3)     not null,
  net                bigint      not null,
  vat                bigint      not null,
  gross              bigint      not null,
  state              text        not null check (state in ('draft', 'review', 'approved', 'signed')),
  -- SHA-256 of deal, client, currency and lines.
  document_hash      bytea       not null check (length(document_hash) = 32),
  -- The principal who wrote the content last, and the person whom the principal stands for: one person with two
  -- principals is still one pair of eyes.
  author             text        not null,
  author_person_id   uuid,
  -- The approval that holds. Null before and after it was voided.
  approval_id        uuid,
  approver           text,
  approver_person_id uuid,
  approve_time       timestamptz,
  sign_time          timestamptz,
  version            bigint      not null,
  create_time        timestamptz not null,
  update_time        timestamptz not null,
  constraint contract_number unique (year, number),
  -- As large as any sum of a request may be: billing adds them up.
  constraint contract_sums check (net >= 0 and vat >= 0 and net + vat = gross and gross <= 10000000000000),
  constraint contract_four_eyes check (author <> approver and author_person_id <> approver_person_id),
  constraint contract_approved check (
    (state in ('approved', 'signed')) = (approval_id is not null)
    and (approval_id is null) = (approver is null)
    -- A system is nobody's eyes.
    and (approval_id is null) = (approver_person_id is null)
    and (approval_id is null) = (approve_time is null)),
  constraint contract_signed check ((state = 'signed') = (sign_time is not null))
);
create index contract_newest on contracts.contract (create_time desc, id desc);
create index contract_deal on contracts.contract (deal_id, create_time desc, id desc);
create index contract_client on contracts.contract (client_id, create_time desc, id desc);

create table contracts.contract_line (
  id           uuid           primary key,
  contract_id  uuid           not null references contracts.contract,
  place        integer        not null,
  display_name text           not null,
  quantity     numeric(12, 3) not null check (quantity > 0),
  unit_code    text           not null,
  unit_price   numeric(23, 6) not null check (unit_price >= 0),
  vat_rate     text           not null check (vat_rate in ('none', '0', '5', '7', '10', '20', '22')),
  vat_included boolean        not null,
  net          bigint         not null,
  vat          bigint         not null,
  gross        bigint         not null,
  constraint contract_line_place unique (contract_id, place),
  constraint contract_line_sums check (net >= 0 and vat >= 0 and net + vat = gross and gross <= 10000000000000)
);

-- Every approval that was ever given. A revision voids it and a new one is a new row.
create table contracts.approval (
  id                 uuid        primary key,
  contract_id        uuid        not null references contracts.contract,
  -- What was approved.
  document_hash      bytea       not null check (length(document_hash) = 32),
  author             text        not null,
  author_person_id   uuid,
  approver           text        not null,
  approver_person_id uuid        not null,
  -- The version of the limits that the approval stands on.
  limit_version      bigint      not null,
  approve_time       timestamptz not null,
  void_time          timestamptz,
  constraint approval_four_eyes check (author <> approver and author_person_id <> approver_person_id),
  constraint approval_content unique (id, contract_id, document_hash, approver, approver_person_id)
);
create unique index approval_holding on contracts.approval (contract_id) where void_time is null;

-- The approval that a contract points at is of this contract, of this content and of this approver: while it holds, the
-- content cannot become another.
alter table contracts.contract add constraint contract_approval
  foreign key (approval_id, id, document_hash, approver, approver_person_id)
  references contracts.approval (id, contract_id, document_hash, approver, approver_person_id);

-- Why a contract was sent back. Kept here alone: events carry no free text.
create table contracts.rejection (
  id            uuid        primary key,
  contract_id   uuid        not null references contracts.contract,
  document_hash bytea       not null check (length(document_hash) = 32),
  -- The principal who sent it back.
  principal     text        not null,
  reason        text        not null,
  reject_time   timestamptz not null
);
create index rejection_contract on contracts.rejection (contract_id, reject_time);

-- How a contract moves: content changes in a draft alone, and nothing leaves SIGNED.
create function contracts.check_contract_move() returns trigger language plpgsql as $$
begin
  if (old.state, new.state) not in (
      ('draft', 'draft'), ('draft', 'review'), ('review', 'draft'), ('review', 'approved'), ('approved', 'draft'),
      ('approved', 'signed'))
    or (new.state <> 'draft' and new.document_hash <> old.document_hash)
    or (new.id, new.year, new.number, new.deal_id, new.client_id, new.currency, new.create_time)
      <> (old.id, old.year, old.number, old.deal_id, old.client_id, old.currency, old.create_time)
  then
    raise exception 'a contract cannot go from % to % like this', old.state, new.state
      using errcode = 'check_violation', constraint = 'contract_move', table = 'contract', schema = 'contracts';
  end if;
  return new;
end $$;
create trigger contract_move before update on contracts.contract
  for each row execute function contracts.check_contract_move();

create function contracts.check_contract_lines() returns trigger language plpgsql as $$
begin
  if exists (select from changed l join contracts.contract c on c.id = l.contract_id where c.state <> 'draft') then
    raise exception 'the lines of a contract change in a draft alone'
      using errcode = 'check_violation', constraint = 'contract_line_draft', table = 'contract_line', schema = 'contracts';
  end if;
  return null;
end $$;
create trigger contract_line_added after insert on contracts.contract_line
  referencing new table as changed for each statement execute function contracts.check_contract_lines();
create trigger contract_line_removed after delete on contracts.contract_line
  referencing old table as changed for each statement execute function contracts.check_contract_lines();

create table contracts.order (
  id           uuid        primary key,
  contract_id  uuid        not null references contracts.contract,
  deal_id      uuid        not null,
  client_id    uuid        not null,
  currency     char(3)     not null,
  net          bigint      not null,
  vat          bigint      not null,
  gross        bigint      not null,
  state        text        not null check (state in ('new', 'confirmed', 'cancelled')),
  confirm_time timestamptz,
  version      bigint      not null,
  create_time  timestamptz not null,
  update_time  timestamptz not null,
  constraint order_sums check (net >= 0 and vat >= 0 and net + vat = gross and gross <= 10000000000000),
  constraint order_confirmed check ((state = 'confirmed') = (confirm_time is not null))
);
create index order_newest on contracts.order (create_time desc, id desc);
create index order_contract on contracts.order (contract_id);
create index order_deal on contracts.order (deal_id, create_time desc, id desc);
create index order_client on contracts.order (client_id, create_time desc, id desc);

create table contracts.order_line (
  id           uuid           primary key,
  order_id     uuid           not null references contracts.order,
  place        integer        not null,
  display_name text           not null,
  quantity     numeric(12, 3) not null check (quantity > 0),
  unit_code    text           not null,
  unit_price   numeric(23, 6) not null check (unit_price >= 0),
  vat_rate     text           not null check (vat_rate in ('none', '0', '5', '7', '10', '20', '22')),
  vat_included boolean        not null,
  net          bigint         not null,
  vat          bigint         not null,
  gross        bigint         not null,
  constraint order_line_place unique (order_id, place),
  constraint order_line_sums check (net >= 0 and vat >= 0 and net + vat = gross and gross <= 10000000000000)
);

-- How an order moves: from NEW once, and its content never changes.
create function contracts.check_order_move() returns trigger language plpgsql as $$
begin
  if old.state <> 'new' or new.state = 'new'
    or (new.id, new.contract_id, new.deal_id, new.client_id, new.currency, new.net, new.vat, new.gross, new.create_time)
      <> (old.id, old.contract_id, old.deal_id, old.client_id, old.currency, old.net, old.vat, old.gross, old.create_time)
  then
    raise exception 'an order cannot go from % to % like this', old.state, new.state
      using errcode = 'check_violation', constraint = 'order_move', table = 'order', schema = 'contracts';
  end if;
  return new;
end $$;
create trigger order_move before update on contracts.order
  for each row execute function contracts.check_order_move();

-- An order is made under a signed contract, which stays signed, and all of them together are worth no more than it is.
-- Who makes one holds the contract, so that the next one counts it.
create function contracts.check_order_contract() returns trigger language plpgsql as $$
declare
  agreed bigint;
begin
  select c.gross into agreed
  from contracts.contract c
  where c.id = new.contract_id and c.state = 'signed'
    and (c.deal_id, c.client_id, c.currency) = (new.deal_id, new.client_id, new.currency)
  for update;
  if agreed is null then
    raise exception 'an order belongs to a signed contract of the same deal, client and currency'
      using errcode = 'check_violation', constraint = 'order_contract', table = 'order', schema = 'contracts';
  end if;
  if new.gross + (
      select coalesce(sum(o.gross), 0) from contracts.order o
      where o.contract_id = new.contract_id and o.state <> 'cancelled') > agreed
  then
    raise exception 'the orders of a contract are worth no more than it is'
      using errcode = 'check_violation', constraint = 'order_within_contract', table = 'order', schema = 'contracts';
  end if;
  return new;
end $$;
create trigger order_contract before insert on contracts.order
  for each row execute function contracts.check_order_contract();

create function contracts.check_order_lines() returns trigger language plpgsql as $$
begin
  if exists (select from changed l join contracts.order o on o.id = l.order_id where o.state <> 'new') then
    raise exception 'the lines of an order are written with it alone'
      using errcode = 'check_violation', constraint = 'order_line_new', table = 'order_line', schema = 'contracts';
  end if;
  return null;
end $$;
create trigger order_line_added after insert on contracts.order_line
  referencing new table as changed for each statement execute function contracts.check_order_lines();

-- The version of the limits as a whole. Who approves holds this row shared and who sets a limit holds it alone, so that
-- an approval and a change of limits are always one after the other.
create table contracts.authority (
  one     boolean primary key default true check (one),
  version bigint  not null
);
insert into contracts.authority (version) values (1);

-- The largest total with VAT that a role may approve in a currency. Append-only: the newest version holds.
create table contracts.approval_limit (
  approver  text        not null check (approver in ('head_of_department', 'commercial_director')),
  currency  char(3)     not null,
  version   bigint      not null,
  max_gross bigint      not null check (max_gross >= 0),
  -- The principal who set it.
  principal text        not null,
  set_time  timestamptz not null,
  primary key (approver, currency, version)
);
insert into contracts.approval_limit (approver, currency, version, max_gross, principal, set_time) values
  ('head_of_department',  'RUB', 1,    100000000, 'service:contracts', '2026-01-01 00:00:00+00'),
  ('commercial_director', 'RUB', 1,  10000000000, 'service:contracts', '2026-01-01 00:00:00+00'),
  ('head_of_department',  'EUR', 1,      1000000, 'service:contracts', '2026-01-01 00:00:00+00'),
  ('commercial_director', 'EUR', 1,    100000000, 'service:contracts', '2026-01-01 00:00:00+00'),
  ('head_of_department',  'USD', 1,      1000000, 'service:contracts', '2026-01-01 00:00:00+00'),
  ('commercial_director', 'USD', 1,    100000000, 'service:contracts', '2026-01-01 00:00:00+00'),
  ('head_of_department',  'BRL', 1,      5000000, 'service:contracts', '2026-01-01 00:00:00+00'),
  ('commercial_director', 'BRL', 1,    500000000, 'service:contracts', '2026-01-01 00:00:00+00');
