-- The dashboard: one row per booking, as the saga last published it, and every version it has had.

create table bookings (
    booking      uuid primary key,
    -- Only rises: a late or repeated publication changes nothing.
    version      integer     not null,
    -- The order in which bookings appeared, for pages.
    appeared     bigint      not null generated always as identity,
    system       text        not null,
    stage        text        not null,
    ending       text        check (ending in ('completed', 'undone')),
    reason       text,
    stuck_step   text,
    stuck_reason text,
    customer     text        not null,
    item         bigint      not null,
    item_name    text,
    price_minor  bigint,
    currency     text,
    waiting_for  text        check (waiting_for in ('customer', 'administrator', 'operator')),
    deadline_at  timestamptz,
    -- When each stage was reached and each undo was done.
    times        jsonb       not null,
    -- What an idempotency key was first used for.
    fingerprint  text,
    at           timestamptz not null
);

create index bookings_by_system on bookings (system, appeared desc);
create index bookings_by_customer on bookings (customer, appeared desc);
-- Who has an item now: what the catalogue's pages and quick refusals ask.
create index bookings_live on bookings (system, item) where ending is null;
-- What waits for whom.
create index bookings_waiting on bookings (waiting_for, deadline_at) where waiting_for is not null;

create table history (
    booking     uuid        not null,
    version     integer     not null,
    -- The order of the feed. Numbers are drawn before they are committed, so a reader stays below the oldest
    -- transaction that still runs (`written_by`): otherwise it would step over one that commits late.
    seq         bigint      not null generated always as identity,
    written_by  xid8        not null default pg_current_xact_id(),
    system      text        not null,
    stage       text        not null,
    ending      text,
    reason      text,
    customer    text        not null,
    waiting_for text,
    at          timestamptz not null,
    primary key (booking, version)
);

create unique index history_feed on history (seq);
