-- Somebody has stopped all calls to the payment provider. There is one provider, and so one row at most.
create table provider_pause (
    one       boolean primary key default true check (one),
    paused_by text not null,
    reason    text not null,
    paused_at timestamptz not null default now()
);
