-- A payment that pays a part of an invoice, what is booked for both and both events, under the request's id.
\set n :n + 1
\set id :base + :n * :clients + :client_id
\set invoice random(0, :invoices - 1)
begin;
insert into billing.idempotency (principal, method, request_id, fingerprint, keep, create_time) values (:principal, '/otdel.billing.v1.PaymentService/RecordPayment', load.id(16, :id), sha256(int8send(:id)), true, now()) on conflict do nothing;
insert into billing.payment (id, client_id, currency, amount, allocated, bank_ref, value_date, version, create_time, update_time) values (load.id(17, :id), load.id(5, :invoice % 1000), 'RUB', 100, 100, 'load-' || :id::text, current_date, 1, now(), now()) on conflict on constraint payment_bank_ref do nothing;
select gross, paid, version from billing.invoice where id = load.id(10, :invoice) for update;
insert into billing.allocation (id, payment_id, payment_version, invoice_id, client_id, currency, amount, create_time) values (load.id(26, :id), load.id(17, :id), 1, load.id(10, :invoice), load.id(5, :invoice % 1000), 'RUB', 100, now());
update billing.invoice set paid = paid + 100, state = 'partly_paid', version = version + 1 where id = load.id(10, :invoice);
insert into billing.ledger_transaction (id, kind, book_time) values (load.id(17, :id), 'payment', now()), (load.id(26, :id), 'allocation', now());
insert into billing.ledger_entry (transaction_id, leg, account, client_id, currency, amount) values (load.id(17, :id), 1, 'bank', load.id(5, :invoice % 1000), 'RUB', 100), (load.id(17, :id), 2, 'advance', load.id(5, :invoice % 1000), 'RUB', -100), (load.id(26, :id), 1, 'advance', load.id(5, :invoice % 1000), 'RUB', 100), (load.id(26, :id), 2, 'receivable', load.id(5, :invoice % 1000), 'RUB', -100);
insert into billing.outbox (id, type, subject, related, deal, occur_time, payload) values (load.id(18, :id), 'otdel.billing.v1.PaymentRecorded', 'payments/' || load.id(17, :id)::text, array['clients/' || load.id(5, :invoice % 1000)::text], null, now(), decode(repeat('6f', 500), 'hex')), (load.id(27, :id), 'otdel.billing.v1.PaymentAllocated', 'payments/' || load.id(17, :id)::text, array['clients/' || load.id(5, :invoice % 1000)::text, 'invoices/' || load.id(10, :invoice)::text], 'deals/' || load.id(6, :invoice % 1000)::text, now(), decode(repeat('6f', 650), 'hex'));
update billing.idempotency set answer = decode(repeat('6f', 500), 'hex') where principal = :principal and method = '/otdel.billing.v1.PaymentService/RecordPayment' and request_id = load.id(16, :id);
end;
