-- What an operator has to know of a stuck booking, and what operators have done.

alter table bookings add column committed boolean not null default false;
-- step, reason, at_risk, moves.
alter table bookings add column stuck jsonb;
update bookings set stuck = jsonb_build_object('step', stuck_step, 'reason', stuck_reason, 'moves', '["retry"]'::jsonb)
    where stuck_step is not null;
alter table bookings drop column stuck_step, drop column stuck_reason;

-- What has not ended, in the order in which the sweep pages through it.
create index bookings_open on bookings (booking) where ending is null;

-- Who did what to a stuck booking, when and why, what was open before and after, and what came of it. Written by the booking's
-- own saga before it carries the move out, so that no move is without its record, and once more with its outcome.
create table interventions (
    booking  uuid        not null,
    -- The version of the row when it was heard, and its place among those of one saga.
    version  integer     not null,
    number   integer     not null,
    at       timestamptz not null,
    step     text        not null,
    by       text        not null,
    move     text        not null check (move in ('retry', 'resolve', 'write-off', 'skip')),
    reason   text        not null,
    -- The caller's idempotency key.
    key      text,
    -- The reference of what was done by hand, or the amount that was given up.
    details  jsonb       not null,
    before   jsonb,
    -- Not known yet while it is null.
    outcome  jsonb,
    after    jsonb,
    appeared bigint      not null generated always as identity,
    primary key (booking, version, number)
);

create index interventions_appeared on interventions (appeared desc);

-- The outcome is added once; nothing else ever changes.
create function never_changed() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.outcome is null
        and to_jsonb(new) - '{outcome,after}'::text[] = to_jsonb(old) - '{outcome,after}'::text[] then
        return new;
    end if;
    raise exception 'the record of interventions is never changed or deleted';
end $$;

create trigger never_changed before update or delete on interventions
    for each row execute function never_changed();
create trigger never_emptied before truncate on interventions
    for each statement execute function never_changed();
