-- What has been settled or given back since a time, in pages: for the comparison with the provider's books.
create index charges_by_last_change on charges (coalesce(refunded_at, settled_at), booking) where provider_ref is not null;
