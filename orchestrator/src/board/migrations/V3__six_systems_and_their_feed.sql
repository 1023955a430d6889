-- What six systems show beside the rest, for whom they wait, and a feed that others may read.

-- Names and values that the system's own pages show.
alter table bookings add column details jsonb not null default '{}';
-- For when, where that matters.
alter table bookings add column period tstzrange;

alter table bookings drop constraint bookings_waiting_for_check;
alter table bookings add constraint bookings_waiting_for_check check (waiting_for in
    ('customer', 'administrator', 'manager', 'shop', 'teacher', 'courier', 'sender', 'operator'));

-- What waits, oldest deadline first: the inbox.
drop index bookings_waiting;
create index bookings_waiting on bookings (waiting_for, coalesce(deadline_at, 'infinity'), appeared)
    where waiting_for is not null;
-- Bookings of one stage of a system, such as open requests.
create index bookings_by_stage on bookings (system, stage, appeared desc) where ending is null;

-- The place of a change in the feed is its transaction and then its number: a transaction that is given its number early and
-- commits late comes after those that have been read, never before.
create index history_in_order on history (written_by, seq);

-- The feed as other services may read it: only what no running transaction can come before. Page by
-- (written_by, seq) > (the last place), in that order.
create view feed as
    select written_by::text::bigint as tx, seq, booking, version, system, stage, ending, reason, customer, at, written_by
    from history
    where written_by < pg_snapshot_xmin(pg_current_snapshot());

do $$ begin
    if exists (select from pg_roles where rolname = 'feed_reader') then
        execute format('grant usage on schema %I to feed_reader', current_schema());
        execute format('grant select on %I.feed to feed_reader', current_schema());
    end if;
end $$;

-- Who is told of changes by a signed call, and how far they have been told.
create table receivers (
    receiver   uuid primary key,
    url        text        not null,
    -- Signs every call; shown once, when it is made.
    secret     text        not null,
    -- Only this system's, or all.
    system     text,
    made_by    text        not null,
    made_at    timestamptz not null default now(),
    -- The last place that was delivered or given up.
    tx         bigint      not null,
    seq        bigint      not null,
    -- Not before.
    next_at    timestamptz not null default now(),
    -- How often the next change has been tried in vain.
    attempts   integer     not null default 0,
    paused     boolean     not null default false
);

-- What was sent to whom, and what came of it. Kept for a while.
create table deliveries (
    delivery  bigint generated always as identity primary key,
    receiver  uuid        not null references receivers on delete cascade,
    tx        bigint      not null,
    seq       bigint      not null,
    booking   uuid        not null,
    version   integer     not null,
    at        timestamptz not null default now(),
    attempt   integer     not null,
    -- The receiver's HTTP status; none where it did not answer.
    status    integer,
    outcome   text        not null check (outcome in ('delivered', 'failed', 'given_up'))
);

create index deliveries_of_receiver on deliveries (receiver, delivery desc);
create index deliveries_by_age on deliveries (at);

-- Bookings of an item: live ones first, then the newest of those that have ended.
create index bookings_of_item on bookings (system, item, (ending is not null), appeared desc);
