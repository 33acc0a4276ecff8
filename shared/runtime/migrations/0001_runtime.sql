-- What every service needs beside its own tables. Applied once in each service's schema, whose name is the search path:
-- the runtime's statements are the only ones that leave the schema out, because they are the same in all of them.

-- One row about the deployment.
create table deployment (
  one           boolean primary key default true check (one),
  -- IANA name. It decides report months and dates without a zone of their own, so it never changes.
  business_zone text        not null,
  -- Changes when the database was restored to an earlier state, so that cursors of the lost future are recognised.
  epoch         uuid        not null,
  -- The suite's time on a test database; null on every other one.
  test_time     timestamptz
);

-- The first answer to each request, written in the transaction that did what was asked.
create table idempotency (
  principal   text        not null,
  method      text        not null,
  request_id  uuid        not null,
  -- SHA-256 of the request without its id.
  fingerprint bytea       not null,
  -- The encoded answer; null only inside the transaction that claims the key.
  answer      bytea,
  -- Where money moves, an answer is kept for ever.
  keep        boolean     not null,
  create_time timestamptz not null,
  primary key (principal, method, request_id)
);
create index idempotency_expiring on idempotency (create_time) where not keep;

-- What happened, written in the transaction in which it happened. The audit log and the event feed are these rows.
create table outbox (
  -- Drawn after the row locks of the transaction, so that events of one resource are in the order of its changes.
  seq        bigint      generated always as identity primary key,
  id         uuid        not null unique,
  type       text        not null,
  subject    text        not null,
  related    text[]      not null,
  -- The deal that the event belongs to, for its timeline.
  deal       text,
  occur_time timestamptz not null,
  -- The encoded event without its position, cursor and epoch; the chain is over these bytes.
  payload    bytea       not null,
  -- Given by the sequencer after the commit: without gaps, in the order of seq among what is visible.
  position   bigint      unique,
  -- SHA-256 of the previous event's hash and this payload.
  hash       bytea,
  check ((position is null) = (hash is null))
);
create index outbox_unnumbered on outbox (seq) where position is null;
create index outbox_subject on outbox (subject);
create index outbox_deal on outbox (deal) where deal is not null;

-- Where the feed ends. The row lock on it keeps two sequencers from numbering at once.
create table feed_head (
  one      boolean primary key default true check (one),
  position bigint  not null,
  hash     bytea   not null
);
insert into feed_head (position, hash) values (0, '\x');

-- The read models that are built from other services' feeds, and which build of each is live.
create table projection (
  name text   primary key,
  live bigint not null
);

-- How far each build of each read model has read each source. Moves in the transaction of the effect.
create table cursor (
  projection text   not null,
  generation bigint not null,
  source     text   not null,
  position   bigint not null,
  -- The opaque cursor of the source; empty at the start.
  token      text   not null,
  -- When the last event that was read had happened.
  occur_time timestamptz,
  primary key (projection, generation, source)
);
