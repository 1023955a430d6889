-- What is held now, in the order in which the sweep pages through it.
create index holds_open_by_booking on holds (booking) where state in ('held', 'confirmed');
