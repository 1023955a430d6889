-- What ended long ago is forgotten, where that is configured.
create index bookings_by_age on bookings (at) where ending is not null;
