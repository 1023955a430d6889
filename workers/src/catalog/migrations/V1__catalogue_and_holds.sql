-- What can be booked, and who holds it.

-- Numbers are counted per catalogue: book 1 and resort 1 are two things.
create table counters (
    system text primary key,
    last   bigint not null
);

create table items (
    system       text   not null,
    number       bigint not null,
    name         text   not null check (length(name) between 1 and 200),
    price_minor  bigint not null check (price_minor >= 0),
    currency     text   not null check (currency ~ '^[A-Z]{3}$'),
    units        integer not null check (units between 1 and 10000),
    -- Rises with every edit.
    version      integer not null default 1,
    created_at   timestamptz not null default now(),
    primary key (system, number)
);

-- One row per copy, room, seat or person.
create table units (
    unit    bigint generated always as identity primary key,
    system  text    not null,
    number  bigint  not null,
    ordinal integer not null,
    unique (system, number, ordinal),
    foreign key (system, number) references items (system, number)
);

-- One row per booking that ever asked, never deleted: a refusal and a release that came first are remembered too, so
-- that a repeat gets the first answer and a late hold finds its key closed.
create table holds (
    booking      uuid primary key,
    -- Opaque: what a recovery looks the booking up by. Unknown when the release came first.
    workflow     text,
    unit         bigint references units (unit),
    -- Unbounded for what is lent without a period.
    period       tstzrange not null default tstzrange(null, null),
    state        text not null check (state in ('held', 'confirmed', 'released', 'taken', 'unknown_item')),
    name         text,
    price_minor  bigint,
    currency     text,
    held_at      timestamptz not null default now(),
    confirmed_at timestamptz,
    released_at  timestamptz,
    check (state not in ('held', 'confirmed') or (unit is not null and name is not null and price_minor is not null)),
    -- Nothing is oversold: one unit, one moment, one live hold. This line says so, not an `if`.
    exclude using gist (unit with =, period with &&) where (state in ('held', 'confirmed'))
);

-- What is held now, for recovery and for the catalogue's pages.
create index holds_open on holds (unit) where state in ('held', 'confirmed');
