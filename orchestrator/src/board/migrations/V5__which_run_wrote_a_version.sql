-- The run of the saga that wrote a version; of what no saga wrote, and of what is older than this, it is not known. A task that was
-- lost is done again by the same run, and an earlier saga was another one.
alter table history add column run uuid;
