-- What reports count and add up, kept beside the facts, so that a report reads as much over ten million facts as over ten
-- thousand.
--
-- Triggers on the facts keep them, in the statement that writes the fact: what a row counted for before is taken off, what
-- it counts for now is added. So no insert and no update of a fact can forget a sum, and sums depend on the facts that
-- there are and not on the order in which they came. Only a deal comes before the stages that it enters. Nothing counts
-- what is deleted: facts are only ever taken away with their whole build, and its sums with them.
--
-- Each sum is kept twice: over all (`whole`, without owner and team) for those who reach everything, and by who answers
-- for it for everybody else and for filters. Batches of one build never run at the same time, so that one row over all
-- is nobody's bottleneck and need not be spread. A key that nothing counts for any more stays with zeros.
--
-- Sums of money are numeric: one that is too large for a report must not stop the follower.
--
-- Beside each table of sums is a view that counts the same from the facts. A rebuild compares the two, and so do tests.

-- From what is counted here until the triggers are there nobody writes a fact: it would be counted by neither. Whoever is
-- at work waits meanwhile, and goes on with the triggers. The cursors are the first of these tables that a transaction of
-- the follower writes, see 0002.
lock table reporting.cursor, reporting.lead, reporting.deal, reporting.stage_entry, reporting.invoice, reporting.allocation
in share row exclusive mode;

-- Leads by the month in which they were received.
create table reporting.lead_sum (
  generation bigint  not null,
  whole      boolean not null,
  owner_id   uuid,
  team_id    uuid,
  month      date    not null,
  origin     text    not null,
  channel    text    not null,
  leads      bigint  not null,
  won        bigint  not null,
  constraint lead_sum_key unique nulls not distinct (generation, whole, owner_id, team_id, month, origin, channel)
) with (fillfactor = 70);
create index lead_sum_team on reporting.lead_sum (generation, team_id) where not whole;

create view reporting.lead_recount as
select generation, whole, case when not whole then owner_id end as owner_id, case when not whole then team_id end as team_id,
       receive_month as month, origin, channel, count(*) as leads, count(*) filter (where won) as won
from reporting.lead cross join (values (true), (false)) as kept (whole)
group by 1, 2, 3, 4, 5, 6, 7;

-- Won deals by the month of the win and by how many days they took: their number, mean, median, least and most come of it.
create table reporting.won_sum (
  generation bigint  not null,
  whole      boolean not null,
  owner_id   uuid,
  team_id    uuid,
  month      date    not null,
  origin     text    not null,
  channel    text    not null,
  days       integer not null,
  won        bigint  not null,
  constraint won_sum_key unique nulls not distinct (generation, whole, owner_id, team_id, month, origin, channel, days)
) with (fillfactor = 70);
create index won_sum_team on reporting.won_sum (generation, team_id) where not whole;

create view reporting.won_recount as
select generation, whole, case when not whole then owner_id end as owner_id, case when not whole then team_id end as team_id,
       win_month as month, origin, channel, cycle_days as days, count(*) as won
from reporting.deal cross join (values (true), (false)) as kept (whole)
where state = 'won'
group by 1, 2, 3, 4, 5, 6, 7, 8;

-- What won deals are worth, those of which it is known.
create table reporting.worth_sum (
  generation bigint  not null,
  whole      boolean not null,
  owner_id   uuid,
  team_id    uuid,
  month      date    not null,
  origin     text    not null,
  channel    text    not null,
  currency   char(3) not null,
  won        bigint  not null,
  amount     numeric not null,
  constraint worth_sum_key unique nulls not distinct (generation, whole, owner_id, team_id, month, origin, channel, currency)
) with (fillfactor = 70);
create index worth_sum_team on reporting.worth_sum (generation, team_id) where not whole;

create view reporting.worth_recount as
select generation, whole, case when not whole then owner_id end as owner_id, case when not whole then team_id end as team_id,
       win_month as month, origin, channel, currency, count(*) as won, sum(amount) as amount
from reporting.deal cross join (values (true), (false)) as kept (whole)
where state = 'won' and amount is not null
group by 1, 2, 3, 4, 5, 6, 7, 8;

-- Deals by the month in which they were opened: how many entered a stage, and how many stand there. The ends are stages
-- of their own, `(won)` and `(lost)`, told from one that somebody named so by their part.
create table reporting.stage_sum (
  generation  bigint   not null,
  whole       boolean  not null,
  owner_id    uuid,
  team_id     uuid,
  month       date     not null,
  pipeline_id uuid     not null,
  -- 0: a stage of the pipeline; 1: won; 2: lost.
  part        smallint not null,
  stage       text     not null,
  entered     bigint   not null,
  standing    bigint   not null,
  constraint stage_sum_key unique nulls not distinct (generation, whole, owner_id, team_id, month, pipeline_id, part, stage)
) with (fillfactor = 70);
create index stage_sum_team on reporting.stage_sum (generation, team_id) where not whole;

create function reporting.part_of(state text) returns smallint language sql immutable as
$$ select case state when 'open' then 0 when 'won' then 1 else 2 end::smallint $$;

create function reporting.place_of(state text, stage text) returns text language sql immutable as
$$ select case state when 'open' then stage else '(' || state || ')' end $$;

create view reporting.stage_recount as
select generation, whole, case when not whole then owner_id end as owner_id, case when not whole then team_id end as team_id,
       month, pipeline_id, part, stage, sum(entered)::bigint as entered, sum(standing)::bigint as standing
from (select generation, owner_id, team_id, open_month as month, pipeline_id, reporting.part_of(state) as part,
             reporting.place_of(state, stage) as stage, (state <> 'open')::integer as entered, 1 as standing
      from reporting.deal
      union all
      select d.generation, d.owner_id, d.team_id, d.open_month, d.pipeline_id, 0::smallint, e.stage, 1, 0
      from reporting.stage_entry e join reporting.deal d using (generation, deal_id)) as place
cross join (values (true), (false)) as kept (whole)
group by 1, 2, 3, 4, 5, 6, 7, 8;

-- Invoices by the month of their date, and what was allocated by the month of the allocation. Whose deal is not known yet
-- has neither owner nor team.
create table reporting.money_sum (
  generation bigint  not null,
  whole      boolean not null,
  owner_id   uuid,
  team_id    uuid,
  month      date    not null,
  currency   char(3) not null,
  invoices   bigint  not null,
  net        numeric not null,
  vat        numeric not null,
  gross      numeric not null,
  parts      bigint  not null,
  paid       numeric not null,
  constraint money_sum_key unique nulls not distinct (generation, whole, owner_id, team_id, month, currency)
) with (fillfactor = 70);
create index money_sum_team on reporting.money_sum (generation, team_id) where not whole;

-- What clients were invoiced and have paid.
create table reporting.debt_sum (
  generation bigint  not null,
  whole      boolean not null,
  owner_id   uuid,
  team_id    uuid,
  client_id  uuid    not null,
  currency   char(3) not null,
  invoices   bigint  not null,
  invoiced   numeric not null,
  parts      bigint  not null,
  paid       numeric not null,
  -- What is owed, below zero, so that the largest debt is the first.
  balance    numeric not null generated always as (paid - invoiced) stored,
  constraint debt_sum_key unique nulls not distinct (generation, whole, owner_id, team_id, client_id, currency)
) with (fillfactor = 70);
create index debt_sum_order on reporting.debt_sum (generation, currency, balance, client_id) where whole;
create index debt_sum_client on reporting.debt_sum (generation, client_id);
create index debt_sum_team on reporting.debt_sum (generation, team_id) where not whole;

-- Invoices and allocations in one shape.
create view reporting.money as
select i.generation, d.owner_id, d.team_id, i.deal_id, i.client_id, i.issue_month as month, i.currency, 1 as invoices, i.net,
       i.vat, i.gross, 0 as parts, 0::bigint as paid
from reporting.invoice i left join reporting.deal d using (generation, deal_id)
union all
select a.generation, d.owner_id, d.team_id, a.deal_id, a.client_id, a.allocate_month, a.currency, 0, 0, 0, 0, 1, a.amount
from reporting.allocation a left join reporting.deal d using (generation, deal_id);

create view reporting.money_recount as
select generation, whole, case when not whole then owner_id end as owner_id, case when not whole then team_id end as team_id,
       month, currency, sum(invoices) as invoices, sum(net) as net, sum(vat) as vat, sum(gross) as gross,
       sum(parts) as parts, sum(paid) as paid
from reporting.money cross join (values (true), (false)) as kept (whole)
group by 1, 2, 3, 4, 5, 6;

create view reporting.debt_recount as
select generation, whole, case when not whole then owner_id end as owner_id, case when not whole then team_id end as team_id,
       client_id, currency, sum(invoices) as invoices, sum(gross) as invoiced, sum(parts) as parts, sum(paid) as paid,
       sum(paid) - sum(gross) as balance
from reporting.money cross join (values (true), (false)) as kept (whole)
group by 1, 2, 3, 4, 5, 6;

-- What is there already.
insert into reporting.content select * from reporting.content_recount;
insert into reporting.lead_sum select * from reporting.lead_recount;
insert into reporting.won_sum select * from reporting.won_recount;
insert into reporting.worth_sum select * from reporting.worth_recount;
insert into reporting.stage_sum select * from reporting.stage_recount;
insert into reporting.money_sum select * from reporting.money_recount;
insert into reporting.debt_sum
    (generation, whole, owner_id, team_id, client_id, currency, invoices, invoiced, parts, paid)
select generation, whole, owner_id, team_id, client_id, currency, invoices, invoiced, parts, paid
from reporting.debt_recount;

create function reporting.keep_lead(l reporting.lead, sign integer) returns void language plpgsql as $$
begin
  insert into reporting.lead_sum as s (generation, whole, owner_id, team_id, month, origin, channel, leads, won)
  select l.generation, whole, case when not whole then l.owner_id end, case when not whole then l.team_id end,
         l.receive_month, l.origin, l.channel, sign, case when l.won then sign else 0 end
  from (values (true), (false)) as kept (whole)
  on conflict (generation, whole, owner_id, team_id, month, origin, channel)
  do update set leads = s.leads + excluded.leads, won = s.won + excluded.won;
  perform reporting.keep_content(l.generation, 'lead', sign, to_jsonb(l));
end $$;

create function reporting.lead_written() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    if old is not distinct from new then
      return null;
    end if;
    perform reporting.keep_lead(old, -1);
  end if;
  perform reporting.keep_lead(new, 1);
  return null;
end $$;
create trigger lead_written after insert or update on reporting.lead
for each row execute function reporting.lead_written();

create function reporting.keep_deal(d reporting.deal, sign integer) returns void language plpgsql as $$
begin
  if d.state = 'won' then
    insert into reporting.won_sum as s (generation, whole, owner_id, team_id, month, origin, channel, days, won)
    select d.generation, whole, case when not whole then d.owner_id end, case when not whole then d.team_id end,
           d.win_month, d.origin, d.channel, d.cycle_days, sign
    from (values (true), (false)) as kept (whole)
    on conflict (generation, whole, owner_id, team_id, month, origin, channel, days)
    do update set won = s.won + excluded.won;
  end if;
  if d.state = 'won' and d.amount is not null then
    insert into reporting.worth_sum as s
        (generation, whole, owner_id, team_id, month, origin, channel, currency, won, amount)
    select d.generation, whole, case when not whole then d.owner_id end, case when not whole then d.team_id end,
           d.win_month, d.origin, d.channel, d.currency, sign, sign * d.amount::numeric
    from (values (true), (false)) as kept (whole)
    on conflict (generation, whole, owner_id, team_id, month, origin, channel, currency)
    do update set won = s.won + excluded.won, amount = s.amount + excluded.amount;
  end if;
  perform reporting.keep_stage(d, reporting.part_of(d.state), reporting.place_of(d.state, d.stage),
                               case d.state when 'open' then 0 else sign end, sign);
  perform reporting.keep_content(d.generation, 'deal', sign, to_jsonb(d));
end $$;

create function reporting.keep_stage(d reporting.deal, in_part smallint, at_stage text, more_entered integer, more_standing integer)
returns void language plpgsql as $$
begin
  insert into reporting.stage_sum as s
      (generation, whole, owner_id, team_id, month, pipeline_id, part, stage, entered, standing)
  select d.generation, whole, case when not whole then d.owner_id end, case when not whole then d.team_id end,
         d.open_month, d.pipeline_id, in_part, at_stage, more_entered, more_standing
  from (values (true), (false)) as kept (whole)
  on conflict (generation, whole, owner_id, team_id, month, pipeline_id, part, stage)
  do update set entered = s.entered + excluded.entered, standing = s.standing + excluded.standing;
end $$;

-- A deal takes along what counts by its owner and team: the stages that it entered, its invoices and what was paid for
-- it. Those may have come before it, and had nobody until now. A stage must not be entered in the very statement that
-- gives a deal to another: it would be moved before it was counted.
create function reporting.deal_written() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform reporting.keep_deal(new, 1);
    perform reporting.move_money(new, null, null);
    return null;
  end if;
  if old is not distinct from new then
    return null;
  end if;
  perform reporting.keep_deal(old, -1);
  perform reporting.keep_deal(new, 1);
  if (old.owner_id, old.team_id, old.open_month, old.pipeline_id)
      is distinct from (new.owner_id, new.team_id, new.open_month, new.pipeline_id) then
    perform reporting.keep_stage(old, 0::smallint, e.stage, -1, 0), reporting.keep_stage(new, 0::smallint, e.stage, 1, 0)
    from reporting.stage_entry e
    where e.generation = new.generation and e.deal_id = new.deal_id;
    perform reporting.move_money(new, old.owner_id, old.team_id);
  end if;
  return null;
end $$;
create trigger deal_written after insert or update on reporting.deal
for each row execute function reporting.deal_written();

create function reporting.keep_entry(e reporting.stage_entry, sign integer) returns void language plpgsql as $$
begin
  perform reporting.keep_stage(d, 0::smallint, e.stage, sign, 0)
  from reporting.deal d
  where d.generation = e.generation and d.deal_id = e.deal_id;
  perform reporting.keep_content(e.generation, 'stage_entry', sign, to_jsonb(e));
end $$;

create function reporting.entry_written() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    if old is not distinct from new then
      return null;
    end if;
    perform reporting.keep_entry(old, -1);
  end if;
  perform reporting.keep_entry(new, 1);
  return null;
end $$;
create trigger entry_written after insert or update on reporting.stage_entry
for each row execute function reporting.entry_written();

-- Adds an invoice or an allocation, or takes it off.
create function reporting.keep_money(m reporting.money, sign integer) returns void language plpgsql as $$
begin
  select d.owner_id, d.team_id into m.owner_id, m.team_id
  from reporting.deal d
  where d.generation = m.generation and d.deal_id = m.deal_id;
  insert into reporting.money_sum as s
      (generation, whole, owner_id, team_id, month, currency, invoices, net, vat, gross, parts, paid)
  select m.generation, whole, case when not whole then m.owner_id end, case when not whole then m.team_id end, m.month,
         m.currency, sign * m.invoices, sign * m.net::numeric, sign * m.vat::numeric, sign * m.gross::numeric,
         sign * m.parts, sign * m.paid::numeric
  from (values (true), (false)) as kept (whole)
  on conflict (generation, whole, owner_id, team_id, month, currency)
  do update set invoices = s.invoices + excluded.invoices, net = s.net + excluded.net, vat = s.vat + excluded.vat,
                gross = s.gross + excluded.gross, parts = s.parts + excluded.parts, paid = s.paid + excluded.paid;
  insert into reporting.debt_sum as s
      (generation, whole, owner_id, team_id, client_id, currency, invoices, invoiced, parts, paid)
  select m.generation, whole, case when not whole then m.owner_id end, case when not whole then m.team_id end, m.client_id,
         m.currency, sign * m.invoices, sign * m.gross::numeric, sign * m.parts, sign * m.paid::numeric
  from (values (true), (false)) as kept (whole)
  on conflict (generation, whole, owner_id, team_id, client_id, currency)
  do update set invoices = s.invoices + excluded.invoices, invoiced = s.invoiced + excluded.invoiced,
                parts = s.parts + excluded.parts, paid = s.paid + excluded.paid;
end $$;

-- Gives all the money of a deal to its owner and team, from those who had it.
create function reporting.move_money(d reporting.deal, from_owner uuid, from_team uuid) returns void
language plpgsql as $$
begin
  -- A deal mostly comes before its invoices.
  if not exists (select from reporting.invoice i where i.generation = d.generation and i.deal_id = d.deal_id)
      and not exists (select from reporting.allocation a where a.generation = d.generation and a.deal_id = d.deal_id) then
    return;
  end if;
  insert into reporting.money_sum as s
      (generation, whole, owner_id, team_id, month, currency, invoices, net, vat, gross, parts, paid)
  select m.generation, false, side.owner_id, side.team_id, m.month, m.currency, sum(sign * m.invoices), sum(sign * m.net),
         sum(sign * m.vat), sum(sign * m.gross), sum(sign * m.parts), sum(sign * m.paid)
  from reporting.money m,
       (values (from_owner, from_team, -1), (d.owner_id, d.team_id, 1)) as side (owner_id, team_id, sign)
  where m.generation = d.generation and m.deal_id = d.deal_id
  group by m.generation, side.owner_id, side.team_id, m.month, m.currency
  on conflict (generation, whole, owner_id, team_id, month, currency)
  do update set invoices = s.invoices + excluded.invoices, net = s.net + excluded.net, vat = s.vat + excluded.vat,
                gross = s.gross + excluded.gross, parts = s.parts + excluded.parts, paid = s.paid + excluded.paid;
  insert into reporting.debt_sum as s
      (generation, whole, owner_id, team_id, client_id, currency, invoices, invoiced, parts, paid)
  select m.generation, false, side.owner_id, side.team_id, m.client_id, m.currency, sum(sign * m.invoices),
         sum(sign * m.gross), sum(sign * m.parts), sum(sign * m.paid)
  from reporting.money m,
       (values (from_owner, from_team, -1), (d.owner_id, d.team_id, 1)) as side (owner_id, team_id, sign)
  where m.generation = d.generation and m.deal_id = d.deal_id
  group by m.generation, side.owner_id, side.team_id, m.client_id, m.currency
  on conflict (generation, whole, owner_id, team_id, client_id, currency)
  do update set invoices = s.invoices + excluded.invoices, invoiced = s.invoiced + excluded.invoiced,
                parts = s.parts + excluded.parts, paid = s.paid + excluded.paid;
end $$;

create function reporting.keep_invoice(i reporting.invoice, sign integer) returns void language plpgsql as $$
begin
  perform reporting.keep_money(row(i.generation, null, null, i.deal_id, i.client_id, i.issue_month, i.currency, 1, i.net,
                                   i.vat, i.gross, 0, 0)::reporting.money, sign);
  perform reporting.keep_content(i.generation, 'invoice', sign, to_jsonb(i));
end $$;

create function reporting.invoice_written() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    if old is not distinct from new then
      return null;
    end if;
    perform reporting.keep_invoice(old, -1);
  end if;
  perform reporting.keep_invoice(new, 1);
  return null;
end $$;
create trigger invoice_written after insert or update on reporting.invoice
for each row execute function reporting.invoice_written();

create function reporting.keep_allocation(a reporting.allocation, sign integer) returns void language plpgsql as $$
begin
  perform reporting.keep_money(row(a.generation, null, null, a.deal_id, a.client_id, a.allocate_month, a.currency, 0, 0, 0, 0,
                                   1, a.amount)::reporting.money, sign);
  perform reporting.keep_content(a.generation, 'allocation', sign, to_jsonb(a));
end $$;

create function reporting.allocation_written() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    if old is not distinct from new then
      return null;
    end if;
    perform reporting.keep_allocation(old, -1);
  end if;
  perform reporting.keep_allocation(new, 1);
  return null;
end $$;
create trigger allocation_written after insert or update on reporting.allocation
for each row execute function reporting.allocation_written();
