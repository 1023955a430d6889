-- Money that is given up, and money that is earned.

-- written_off: an operator has given the refund up; the money stays where it is.
alter table charges drop constraint charges_state_check;
alter table charges add constraint charges_state_check
    check (state in ('intended', 'declined', 'captured', 'refunding', 'refunded', 'voided', 'written_off'));

-- What a refund that was made by hand is called at the provider.
alter table charges add column resolved_ref text;
-- When the booking was known to have completed: its money is no longer open.
alter table charges add column kept_at timestamptz;

-- When the provider was last asked for a refund that it has not answered: it may still be on its way.
alter table charges add column refund_sent_at timestamptz;

-- A write-off moves the amount from what we hold for the booking to what was given up.
alter table postings drop constraint postings_movement_check;
alter table postings add constraint postings_movement_check
    check (movement in ('capture', 'refund', 'write_off'));
alter table postings drop constraint postings_account_check;
alter table postings add constraint postings_account_check check (account in ('customer', 'bookings', 'written_off'));

-- Money that is open, in the order in which the sweep pages through it.
drop index charges_open;
create index charges_open on charges (booking)
    where state in ('intended', 'captured', 'refunding') and kept_at is null;
