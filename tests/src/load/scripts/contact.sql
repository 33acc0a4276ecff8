-- A contact with a lead that is held meanwhile, and its event, under the request's id.
\set n :n + 1
\set id :base + :n * :clients + :client_id
\set lead random(0, :leads - 1)
begin;
insert into leads.idempotency (principal, method, request_id, fingerprint, keep, create_time) values (:principal, '/otdel.leads.v1.LeadService/LogContact', load.id(16, :id), sha256(int8send(:id)), false, now()) on conflict do nothing;
select state, version, contact_time from leads.lead where id = load.id(3, :lead) for update;
update leads.lead set state = 'contacted', respond_by_time = null, contact_time = coalesce(contact_time, now()), holder_result = coalesce(holder_result, 'met'), client_result = coalesce(client_result, 'met'), version = version + 1, update_time = now() where id = load.id(3, :lead);
insert into leads.contact (id, lead_id, principal, kind, outcome, note, contact_time) values (load.id(17, :id), load.id(3, :lead), :principal, 'call', 'reached', 'перезвонить завтра', now());
insert into leads.outbox (id, type, subject, related, deal, occur_time, payload) values (load.id(18, :id), 'otdel.leads.v1.LeadContacted', 'leads/' || load.id(3, :lead)::text, array['people/' || load.id(2, :lead % 10)::text], null, now(), decode(repeat('6f', 600), 'hex'));
update leads.idempotency set answer = decode(repeat('6f', 420), 'hex') where principal = :principal and method = '/otdel.leads.v1.LeadService/LogContact' and request_id = load.id(16, :id);
end;
