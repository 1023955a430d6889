-- What is held now, in the order in which the sweep pages through it.
create index holds_open_by_booking on holds (booking) where state in ('held', 'confirmed');

-- Opaque, like the workflow id: whose booking it is, for a recovery that has nothing else to go by.
alter table holds add column customer text;
