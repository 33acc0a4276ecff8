-- A request, its holder, its event, and whose turn it was, under the request's id.
--
-- The rows that everybody shares come last, so that their locks are held for as short as may be.
\set n :n + 1
\set id :base + :n * :clients + :client_id
\set person random(0, 9)
begin;
insert into leads.idempotency (principal, method, request_id, fingerprint, keep, create_time) values (:principal, '/otdel.leads.v1.LeadService/SubmitLead', load.id(16, :id), sha256(int8send(:id)), false, now()) on conflict do nothing;
insert into leads.lead (id, channel, origin, source_ref, display_name, phone, email, body, receive_time, state, owner_id, team_id, round, assign_time, respond_by_time, sla_version, version, create_time, update_time) values (load.id(17, :id), 'site', 'ads', 'load-' || :id::text, 'Анна Ёлкина', '+7' || :id::text, '', 'Сколько стоит ваша продукция?', now(), 'assigned', load.id(2, :person), load.id(1, 0), 1, now(), now() + interval '1 hour', 1, 2, now(), now());
insert into leads.lead_holder (lead_id, round, person_id, assign_time) values (load.id(17, :id), 1, load.id(2, :person), now());
insert into leads.outbox (id, type, subject, related, deal, occur_time, payload) values (load.id(18, :id), 'otdel.leads.v1.LeadSubmitted', 'leads/' || load.id(17, :id)::text, array['people/' || load.id(2, :person)::text], null, now(), decode(repeat('6f', 600), 'hex'));
update leads.idempotency set answer = decode(repeat('6f', 420), 'hex') where principal = :principal and method = '/otdel.leads.v1.LeadService/SubmitLead' and request_id = load.id(16, :id);
update leads.person set open_leads = open_leads + 1 where id = load.id(2, :person);
update leads.rota set turn = turn + 1;
end;
