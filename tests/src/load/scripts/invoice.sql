-- The confirmation of an order under the request's id, its invoice of three lines with a number without gaps, what is
-- booked and both events. One transaction, where the suite has two: of contracts, and of billing that follows it.
\set n :n + 1
\set id :base + :n * :clients + :client_id
\set order :first + :n * :clients + :client_id
begin;
insert into contracts.idempotency (principal, method, request_id, fingerprint, keep, create_time) values (:principal, '/otdel.contracts.v1.OrderService/ConfirmOrder', load.id(16, :id), sha256(int8send(:id)), true, now()) on conflict do nothing;
select state, version, gross from contracts.order where id = load.id(8, :order) for update;
update contracts.order set state = 'confirmed', confirm_time = now(), version = version + 1, update_time = now() where id = load.id(8, :order);
insert into contracts.outbox (id, type, subject, related, deal, occur_time, payload) values (load.id(18, :id), 'otdel.contracts.v1.OrderConfirmed', 'orders/' || load.id(8, :order)::text, array['contracts/' || load.id(7, :order % 1000)::text, 'clients/' || load.id(5, :order % 1000)::text], 'deals/' || load.id(6, :order % 1000)::text, now(), decode(repeat('6f', 1100), 'hex'));
update contracts.idempotency set answer = decode(repeat('6f', 700), 'hex') where principal = :principal and method = '/otdel.contracts.v1.OrderService/ConfirmOrder' and request_id = load.id(16, :id);
insert into billing.outbox (id, type, subject, related, deal, occur_time, payload) values (load.id(24, :id), 'otdel.billing.v1.InvoiceIssued', 'invoices/' || load.id(25, :id)::text, array['orders/' || load.id(8, :order)::text, 'contracts/' || load.id(7, :order % 1000)::text, 'clients/' || load.id(5, :order % 1000)::text], 'deals/' || load.id(6, :order % 1000)::text, now(), decode(repeat('6f', 750), 'hex'));
insert into billing.ledger_transaction (id, kind, book_time) values (load.id(25, :id), 'issue', now());
insert into billing.ledger_entry (transaction_id, leg, account, client_id, currency, amount) values (load.id(25, :id), 1, 'receivable', load.id(5, :order % 1000), 'RUB', 11013), (load.id(25, :id), 2, 'revenue', load.id(5, :order % 1000), 'RUB', -9027), (load.id(25, :id), 3, 'vat_payable', load.id(5, :order % 1000), 'RUB', -1986);
with drawn as (insert into billing.counter as c (series, year, last) values ('INV', extract(year from current_date), 1) on conflict (series, year) do update set last = c.last + 1 returning last) insert into billing.invoice (id, series, year, number, order_id, contract_id, deal_id, client_id, currency, net, vat, gross, paid, state, issue_date, issue_time, version) select load.id(25, :id), 'INV', extract(year from current_date), last, load.id(8, :order), load.id(7, :order % 1000), load.id(6, :order % 1000), load.id(5, :order % 1000), 'RUB', 9027, 1986, 11013, 0, 'issued', current_date, now(), 1 from drawn;
insert into billing.invoice_line (invoice_id, place, order_line_id, quantity, unit_code, unit_price, vat_rate, vat_included, net, vat, gross) select load.id(25, :id), place, load.id(9, :order * 3 + place - 1), 3, 'pcs', 10.03, '22', false, 3009, 662, 3671 from generate_series(1, 3) place;
end;
