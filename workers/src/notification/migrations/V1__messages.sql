-- One message per booking and stage. The row is the promise that it is sent at most once.
create table messages (
    booking  uuid not null,
    stage    text not null,
    system   text not null,
    customer text not null,
    text     text not null,
    sent_at  timestamptz not null default now(),
    primary key (booking, stage)
);
