-- A lead.
\set lead random(0, :leads - 1)
select id, channel, origin, source_ref, display_name, phone, email, body, receive_time, state, owner_id, team_id, round, assign_time, respond_by_time, contact_time, holder_result, client_result, close_reason, client_id, deal_id, sla_version, version, create_time, update_time from leads.lead where id = load.id(3, :lead);
