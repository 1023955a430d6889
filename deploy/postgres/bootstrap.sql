-- Run once by an administrator: one schema and one login role per process, none of which can read another's. The tables
-- are made by the processes themselves. May be run again; it then only sets the passwords.
--
--   psql --variable=database=holdfast --variable=board_password=... --variable=catalog_password=... \
--        --variable=payment_password=... --variable=notification_password=... --variable=fulfilment_password=... \
--        --file=bootstrap.sql

\set ON_ERROR_STOP on
set client_min_messages = warning;

create extension if not exists btree_gist with schema public;
revoke all on database :"database" from public;
revoke create on schema public from public;

select format('create role %I login', role) from unnest(array['board', 'catalog', 'payment', 'notification', 'fulfilment']) role
    where not exists (select from pg_roles where rolname = role) \gexec
alter role board password :'board_password';
alter role catalog password :'catalog_password';
alter role payment password :'payment_password';
alter role notification password :'notification_password';
alter role fulfilment password :'fulfilment_password';

select format('create schema if not exists %I authorization %I', role, role),
       format('grant connect on database %I to %I', :'database', role),
       -- public holds nothing but the extension's operators.
       format('alter role %I set search_path = %I, public', role, role)
    from unnest(array['board', 'catalog', 'payment', 'notification', 'fulfilment']) role \gexec

-- Who may read the feed of bookings, and nothing else of the board.
select 'create role feed_reader nologin' where not exists (select from pg_roles where rolname = 'feed_reader') \gexec
grant feed_reader to fulfilment;
