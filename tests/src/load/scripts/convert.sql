-- A client and a deal of a lead, and three events, under the request's id.
\set n :n + 1
\set id :base + :n * :clients + :client_id
\set lead :first + :n * :clients + :client_id
begin;
insert into leads.idempotency (principal, method, request_id, fingerprint, keep, create_time) values (:principal, '/otdel.leads.v1.LeadService/ConvertLead', load.id(16, :id), sha256(int8send(:id)), false, now()) on conflict do nothing;
select state, version, owner_id, phone from leads.lead where id = load.id(4, :lead) for update;
insert into leads.client (id, display_name, phone, email, owner_id, team_id, version, create_time, update_time) values (load.id(19, :id), 'Борис Щукин', '+7812' || lpad(:lead::text, 7, '0'), '', load.id(2, :lead % 10), load.id(1, 0), 1, now(), now()) on conflict do nothing;
insert into leads.deal (id, client_id, lead_id, owner_id, team_id, pipeline_id, stage, state, need, competitor, version, create_time, update_time) values (load.id(20, :id), load.id(19, :id), load.id(4, :lead), load.id(2, :lead % 10), load.id(1, 0), '00000000-0000-7000-8000-000000000001', 'qualified', 'open', '', '', 1, now(), now());
update leads.lead set state = 'converted', client_id = load.id(19, :id), deal_id = load.id(20, :id), version = version + 1, update_time = now() where id = load.id(4, :lead);
insert into leads.outbox (id, type, subject, related, deal, occur_time, payload) values (load.id(21, :id), 'otdel.leads.v1.ClientCreated', 'clients/' || load.id(19, :id)::text, array['people/' || load.id(2, :lead % 10)::text], null, now(), decode(repeat('6f', 500), 'hex')), (load.id(22, :id), 'otdel.leads.v1.LeadConverted', 'leads/' || load.id(4, :lead)::text, array['people/' || load.id(2, :lead % 10)::text], 'deals/' || load.id(20, :id)::text, now(), decode(repeat('6f', 500), 'hex')), (load.id(23, :id), 'otdel.leads.v1.DealOpened', 'deals/' || load.id(20, :id)::text, array['people/' || load.id(2, :lead % 10)::text], 'deals/' || load.id(20, :id)::text, now(), decode(repeat('6f', 600), 'hex'));
update leads.idempotency set answer = decode(repeat('6f', 900), 'hex') where principal = :principal and method = '/otdel.leads.v1.LeadService/ConvertLead' and request_id = load.id(16, :id);
update leads.person set open_leads = open_leads - 1 where id = load.id(2, :lead % 10);
end;
