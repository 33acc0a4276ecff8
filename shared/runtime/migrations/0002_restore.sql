-- The database that the epoch was given to: its cluster, timeline and place there. In a restored copy it is another one
-- than the row stands in, so that a copy gets a new epoch once. Null where that was never noted.
alter table deployment add column epoch_home text;
