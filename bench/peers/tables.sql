-- What every peer keeps beside its engine: the catalogue, the dashboard and the messages of a rental.
create table books (id bigint primary key, rental text, is_lent boolean not null default false);
insert into books (id) select generate_series(1, 100000);
create table rentals (id text primary key, book bigint not null, stage text not null);
create table messages (rental text, stage text, primary key (rental, stage));
