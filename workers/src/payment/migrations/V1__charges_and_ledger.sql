-- What was asked of the payment provider, and where the money is.

-- One row per booking, never deleted. The row is written before the provider is called, so that a call whose answer was
-- lost can be looked up; it closes the booking to charging once its money has gone back.
create table charges (
    booking      uuid primary key,
    -- Opaque: what a recovery looks the booking up by. Unknown when the refund came first.
    workflow     text,
    customer     text,
    method       text,
    amount_minor bigint not null check (amount_minor >= 0),
    currency     text   not null check (currency ~ '^[A-Z]{3}$'),
    -- intended: the provider may have been asked, its answer is not known.
    -- declined, captured: its answer.
    -- refunding: to be given back, or to be refused should the charge still arrive; not known yet whether that is done.
    -- refunded: given back. voided: there was nothing to give back, and there never will be.
    state        text   not null
                 check (state in ('intended', 'declined', 'captured', 'refunding', 'refunded', 'voided')),
    decline      text,
    provider_ref text,
    intended_at  timestamptz not null default now(),
    -- When the provider was last about to be asked: where it cannot refuse a late charge, one may arrive for some time
    -- after this.
    sent_at      timestamptz not null default now(),
    settled_at   timestamptz,
    refunded_at  timestamptz
);

-- Money that is open: what a recovery and an operator look at.
create index charges_open on charges (intended_at) where state in ('intended', 'captured', 'refunding');

-- Double entry, append-only. A capture moves the amount from the customer to what we hold for the booking; a refund
-- moves it back. Each happens at most once per booking: the key says so.
create table postings (
    posting      bigint generated always as identity primary key,
    booking      uuid   not null references charges (booking),
    movement     text   not null check (movement in ('capture', 'refund')),
    account      text   not null check (account in ('customer', 'bookings')),
    amount_minor bigint not null,
    currency     text   not null,
    posted_at    timestamptz not null default now(),
    unique (booking, movement, account)
);

-- The two sides of a movement cancel out, or the transaction fails.
create function movement_balances() returns trigger language plpgsql as $$
begin
    if (select sum(amount_minor) from postings where booking = new.booking and movement = new.movement) <> 0 then
        raise exception 'the postings of a % do not add up to zero', new.movement;
    end if;
    return null;
end $$;

create constraint trigger movement_balances after insert on postings
    deferrable initially deferred for each row execute function movement_balances();

create function append_only() returns trigger language plpgsql as $$
begin
    raise exception 'postings are never changed or deleted';
end $$;

create trigger append_only before update or delete or truncate on postings
    for each statement execute function append_only();
