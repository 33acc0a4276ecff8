-- What is there before anything is measured, the same in the database of either side: a team, leads in two states,
-- clients with deals, orders that wait and invoices of a large sum. `{leads}`, `{contacted}`, `{orders}` and `{invoices}`
-- are numbers of rows.
--
-- Triggers and references are not checked for what is known to be right; the tables' own constraints are.
set session_replication_role = replica;

create schema load;
-- The id of a row by its kind and number: what both sides can name without having read it.
create function load.id(kind integer, number bigint) returns uuid language sql immutable parallel safe as
  $$ select ('018f' || lpad(to_hex(kind), 4, '0') || '-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid $$;

insert into leads.team values (load.id(1, 0), 'Отдел продаж', 'RU-MOW', now());
insert into leads.person
select load.id(2, n), 'Менеджер ' || n, load.id(1, 0), true, 2000000000, 10000000, 0, 1, now(), now()
from generate_series(0, 9) n;

insert into leads.lead (id, channel, origin, source_ref, display_name, phone, email, body, receive_time, state, owner_id,
    team_id, round, assign_time, respond_by_time, sla_version, version, create_time, update_time)
select load.id(3, n), 'site', 'ads', 'seed-' || n, 'Анна Ёлкина', '+7495' || lpad(n::text, 7, '0'), '',
       'Сколько стоит ваша продукция?', now(), 'assigned', load.id(2, n % 10), load.id(1, 0), 1, now(),
       now() + interval '10 days', 1, 1, now() - ({leads} - n) * interval '1 millisecond', now()
from generate_series(0, {leads} - 1) n;
insert into leads.lead (id, channel, origin, source_ref, display_name, phone, email, body, receive_time, state, owner_id,
    team_id, round, assign_time, contact_time, holder_result, client_result, sla_version, version, create_time,
    update_time)
select load.id(4, n), 'phone', 'ads', 'seed-' || n, 'Борис Щукин', '+7812' || lpad(n::text, 7, '0'), '', '', now(),
       'contacted', load.id(2, n % 10), load.id(1, 0), 1, now(), now(), 'met', 'met', 1, 2,
       now() - interval '1 hour' - n * interval '1 millisecond', now()
from generate_series(0, {contacted} - 1) n;
insert into leads.lead_holder select id, 1, owner_id, assign_time from leads.lead;

insert into contracts.access select 1, load.id(6, n), load.id(5, n), load.id(2, n % 10), load.id(1, 0)
from generate_series(0, 999) n;
insert into contracts.contract (id, year, number, deal_id, client_id, currency, net, vat, gross, state, document_hash,
    author, author_person_id, approval_id, approver, approver_person_id, approve_time, sign_time, version, create_time,
    update_time)
select load.id(7, n), 2000, n + 1, load.id(6, n), load.id(5, n), 'RUB', 1000000000000, 0, 1000000000000, 'signed',
       sha256('load'), 'principals/' || load.id(2, 0), load.id(2, 0), load.id(12, n), 'principals/' || load.id(2, 1),
       load.id(2, 1), now(), now(), 4, now(), now()
from generate_series(0, 999) n;
insert into contracts.order
select load.id(8, n), load.id(7, n % 1000), load.id(6, n % 1000), load.id(5, n % 1000), 'RUB', 9027, 1986, 11013, 'new',
       null, 1, now() - ({orders} - n) * interval '1 millisecond', now()
from generate_series(0, {orders} - 1) n;
insert into contracts.order_line
select load.id(9, n * 3 + place), load.id(8, n), place + 1, 'Стеллаж', 3, 'pcs', 10.03, '22', false, 3009, 662, 3671
from generate_series(0, {orders} - 1) n, generate_series(0, 2) place;

insert into billing.access select 1, 'client', load.id(5, n), load.id(2, n % 10), load.id(1, 0)
from generate_series(0, 999) n;
insert into billing.access select 1, 'deal', load.id(6, n), load.id(2, n % 10), load.id(1, 0)
from generate_series(0, 999) n;
insert into billing.projection values ('billing.access', 1) on conflict do nothing;
insert into billing.invoice (id, series, year, number, order_id, contract_id, deal_id, client_id, currency, net, vat,
    gross, paid, state, issue_date, issue_time, version)
select load.id(10, n), 'SEED', extract(year from current_date), n + 1, load.id(13, n), load.id(7, n % 1000),
       load.id(6, n % 1000), load.id(5, n % 1000), 'RUB', 1000000000000, 0, 1000000000000, 0, 'issued', current_date,
       now() - ({invoices} - n) * interval '1 millisecond', 1
from generate_series(0, {invoices} - 1) n;

set session_replication_role = origin;
