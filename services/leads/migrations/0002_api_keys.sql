-- What a key may do of what its principal may, why it ended, and how much is taken from a principal. Columns alone, with
-- what they were before as their defaults: the binary before this one writes beside it.

alter table leads.principal
  -- Calls a second; 0: as many as come; null: as many as from everybody.
  add column calls_per_second integer constraint principal_calls check (calls_per_second >= 0);

alter table leads.api_key
  -- What may be done with it of what its principal may do; none: all of it.
  add column permissions   text[]  not null default '{}',
  add column read_only     boolean not null default false,
  add column revoke_reason text    not null default '',
  add column version       bigint  not null default 1,
  add constraint api_key_reason check (revoke_reason = '' or revoke_time is not null);
create index api_key_of_principal on leads.api_key (principal_id, create_time desc, id desc);
