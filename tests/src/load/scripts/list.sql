-- The 50 newest leads of a manager, and whether there are more.
\set person random(0, 9)
select id, channel, origin, source_ref, display_name, phone, email, body, receive_time, state, owner_id, team_id, round, assign_time, respond_by_time, contact_time, holder_result, client_result, close_reason, client_id, deal_id, sla_version, version, create_time, update_time from leads.lead where owner_id = load.id(2, :person) order by create_time desc, id desc limit 51;
