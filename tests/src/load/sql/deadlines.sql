-- `{open}` leads that wait for their owners, who let the deadlines of the first `{passing}` pass within `{seconds}` seconds,
-- which begin in five. Nobody works on them meanwhile: what runs would not be told of them.
insert into leads.lead (id, channel, origin, source_ref, display_name, phone, email, body, receive_time, state, owner_id,
    team_id, round, assign_time, respond_by_time, sla_version, version, create_time, update_time)
select load.id(14, n), 'site', 'ads', 'due-' || n, 'Анна Ёлкина', '+7495' || lpad(n::text, 7, '0'), '', '', now(), 'assigned',
       load.id(2, n % 10), load.id(1, 0), 1, now(), now() + interval '10 days', 1, 1, now(), now()
from generate_series(0, {open} - 1) n;
insert into leads.lead_holder select load.id(14, n), 1, load.id(2, n % 10), now() from generate_series(0, {open} - 1) n;
vacuum analyze leads.lead, leads.lead_holder;
create table load.due as
select load.id(14, n) as lead, now() + interval '5 s' + n * interval '{seconds} s' / {passing} as deadline
from generate_series(0, {passing} - 1) n;
-- The effect is dated by the moment at which it was decided.
create view load.late as
select occur_time - deadline as late
from leads.outbox join load.due on subject = 'leads/' || lead
where type in ('otdel.leads.v1.LeadReassigned', 'otdel.leads.v1.LeadPooled');
update leads.lead set respond_by_time = deadline from load.due where id = lead;
