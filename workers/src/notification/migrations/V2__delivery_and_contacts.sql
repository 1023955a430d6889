-- Where customers can be reached, in which language, and what became of each message.

create table contacts (
    customer   text primary key,
    mail       text check (length(mail) <= 254),
    phone      text check (length(phone) <= 32),
    language   text        not null check (language in ('en', 'ko')),
    changed_at timestamptz not null default now()
);

alter table messages add column message bigint generated always as identity unique;
alter table messages add column item bigint not null default 0;
alter table messages add column language text not null default 'en';
-- log: written to the log. none: there is no address; it can be read here.
alter table messages add column channel text not null default 'log' check (channel in ('log', 'none', 'mail', 'text'));
-- waiting: to be sent, or sent again. sending: on its way since `tried_at`. dead: a person has to look at it.
alter table messages add column state text not null default 'sent' check (state in ('waiting', 'sending', 'sent', 'dead'));
alter table messages add column asked_at timestamptz not null default now();
alter table messages add column tried_at timestamptz;
alter table messages add column attempts integer not null default 0;
-- What was asked for, to ask for it once more by hand.
alter table messages add column notice jsonb;
-- Why it was not delivered: a stable code, never the words of a server, which may quote an address.
alter table messages add column problem text;
alter table messages alter column sent_at drop not null, alter column sent_at drop default;

create index messages_of_system on messages (system, message);
create index messages_of_customer on messages (customer, message);
create index messages_open on messages (message) where state <> 'sent';
