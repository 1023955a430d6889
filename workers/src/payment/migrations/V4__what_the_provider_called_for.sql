-- Calls of the provider's that have had their effect: it repeats them.
create table provider_events (
    event    text primary key,
    heard_at timestamptz not null default now()
);

create index provider_events_by_age on provider_events (heard_at);

-- Who asks to be forgotten is found at once.
create index charges_of_customer on charges (customer);
