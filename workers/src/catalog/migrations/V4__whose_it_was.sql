-- Who asks to be forgotten is found at once.
create index holds_of_customer on holds (customer);
create index reviews_of_customer on reviews (customer);
