-- What an operator has to know of a stuck booking, and what operators have done.

alter table bookings add column committed boolean not null default false;
-- step, reason, at_risk, moves.
alter table bookings add column stuck jsonb;
update bookings set stuck = jsonb_build_object('step', stuck_step, 'reason', stuck_reason, 'moves', '["retry"]'::jsonb)
    where stuck_step is not null;
alter table bookings drop column stuck_step, drop column stuck_reason;

-- Who did what to a stuck booking, when and why, and what was open before and after. Written by the booking's own saga
-- together with its row, so that no move is without its record.
create table interventions (
    booking  uuid        not null,
    -- The version of the row when it was heard, and its place among those of one saga.
    version  integer     not null,
    number   integer     not null,
    at       timestamptz not null,
    by       text        not null,
    move     text        not null check (move in ('retry', 'resolve', 'write-off', 'skip')),
    reason   text        not null,
    -- The caller's idempotency key.
    key      text,
    -- The reference of what was done by hand, or the amount that was given up.
    details  jsonb       not null,
    before   jsonb,
    after    jsonb,
    appeared bigint      not null generated always as identity,
    primary key (booking, version, number)
);

create index interventions_appeared on interventions (appeared desc);

create function never_changed() returns trigger language plpgsql as $$
begin
    raise exception 'the record of interventions is never changed or deleted';
end $$;

create trigger never_changed before update or delete or truncate on interventions
    for each statement execute function never_changed();
