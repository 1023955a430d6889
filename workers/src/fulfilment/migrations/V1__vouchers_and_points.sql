-- What bookings give their customers.

-- One row per booking, never deleted: a voucher that was disabled before it was issued is remembered too.
create table vouchers (
    booking     uuid primary key,
    -- What opens the door: whoever knows it has it. Absent when there never was a voucher.
    code        text unique,
    customer    text,
    state       text not null check (state in ('issued', 'sent', 'disabled')),
    issued_at   timestamptz,
    sent_at     timestamptz,
    disabled_at timestamptz,
    check (state = 'disabled' or (code is not null and customer is not null))
);

create index vouchers_of_customer on vouchers (customer);

-- Loyalty points, append-only: one credit per booking, however often its end is told.
create table credits (
    booking  uuid primary key,
    customer text        not null,
    points   integer     not null,
    given_at timestamptz not null default now()
);

create index credits_of_customer on credits (customer);

-- How far the feed of bookings has been read: moved in the transaction that gives the points.
create table positions (
    feed text primary key,
    tx   bigint not null,
    seq  bigint not null
);
