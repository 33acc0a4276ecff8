-- What a build holds in a few numbers, kept beside the facts by their triggers (0003): the digest of a read model of any
-- size is there at once.

-- The follower of the version before may be at work and writes on. It begins each transaction at its cursor, so that to
-- hold those first is to wait for one that is under way, and never for each other.
lock table reporting.cursor in share row exclusive mode;

-- The stage entries of a pipeline, so that the order in which its stages were first entered is found by index.
alter table reporting.stage_entry add column pipeline_id uuid;
update reporting.stage_entry e set pipeline_id = d.pipeline_id
from reporting.deal d where d.generation = e.generation and d.deal_id = e.deal_id;
alter table reporting.stage_entry alter column pipeline_id set not null;
-- The version before does not name the pipeline.
create function reporting.name_pipeline() returns trigger language plpgsql as $$
begin
  select pipeline_id into new.pipeline_id
  from reporting.deal
  where generation = new.generation and deal_id = new.deal_id;
  return new;
end $$;
create trigger name_pipeline before insert on reporting.stage_entry
for each row when (new.pipeline_id is null) execute function reporting.name_pipeline();
create index stage_entry_first on reporting.stage_entry (generation, pipeline_id, stage, position);

-- What a build's tables of facts hold: how many rows, and the SHA-256 of each combined by exclusive or. A row's own digest
-- is put in and taken out by the same operation, in any order, and no row is there twice. Two builds of which one lacks a
-- row, has another or has one with another value differ here (but for one chance in 2^256). It guards against accidents
-- and not against somebody who chooses rows: whoever can write here can write this, too.
create table reporting.content (
  generation bigint   not null,
  fact_table text     not null,
  facts      bigint   not null,
  digest     bit(256) not null,
  primary key (generation, fact_table)
) with (fillfactor = 50);

-- A row is its JSON without the generation, so that a column cannot be forgotten here and no setting of the session
-- changes how a date is written.
create function reporting.digest_of(fact jsonb) returns bit(256) language sql immutable as
$$ select ('x' || encode(sha256(convert_to((fact - 'generation')::text, 'UTF8')), 'hex'))::bit(256) $$;

create view reporting.content_recount as
select generation, 'lead' as fact_table, count(*) as facts, bit_xor(reporting.digest_of(to_jsonb(f))) as digest
from reporting.lead f group by generation
union all
select generation, 'deal', count(*), bit_xor(reporting.digest_of(to_jsonb(f))) from reporting.deal f group by generation
union all
select generation, 'stage_entry', count(*), bit_xor(reporting.digest_of(to_jsonb(f)))
from reporting.stage_entry f group by generation
union all
select generation, 'invoice', count(*), bit_xor(reporting.digest_of(to_jsonb(f)))
from reporting.invoice f group by generation
union all
select generation, 'allocation', count(*), bit_xor(reporting.digest_of(to_jsonb(f)))
from reporting.allocation f group by generation;

-- Puts a row into the content or takes it out.
create function reporting.keep_content(kept_generation bigint, kept_table text, more integer, fact jsonb) returns void
language plpgsql as $$
begin
  insert into reporting.content as c (generation, fact_table, facts, digest)
  values (kept_generation, kept_table, more, reporting.digest_of(fact))
  on conflict (generation, fact_table) do update set facts = c.facts + excluded.facts, digest = c.digest # excluded.digest;
end $$;
