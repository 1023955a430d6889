-- What particular catalogues say of an item (a period, a type, a time zone), and what its customers say.

alter table items add column attributes jsonb not null default '{}';
-- Not listed any more; what was booked of it keeps its rows.
alter table items add column removed_at timestamptz;

-- One per booking: whoever has been there twice may speak twice.
create table reviews (
    review     bigint generated always as identity primary key,
    booking    uuid        not null unique,
    system     text        not null,
    number     bigint      not null,
    customer   text        not null,
    content    text        not null check (length(content) between 1 and 2000),
    written_at timestamptz not null default now(),
    foreign key (system, number) references items (system, number)
);

create index reviews_of_item on reviews (system, number, review);
