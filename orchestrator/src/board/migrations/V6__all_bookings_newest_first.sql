-- Whoever may see all bookings and asks for none in particular is answered without reading every one.
create index bookings_in_order on bookings (appeared desc);
