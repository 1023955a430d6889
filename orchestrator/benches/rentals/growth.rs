//! Growth: what the same costs with more and more bookings in the tables and open, what an open booking takes, and how soon a new
//! one is answered after everything was killed.

use crate::{
    Plan,
    candidate::{ANSWERED_WITHIN, Begun, Candidate, Field, answered, execute},
    rentals::{FULL, RENTALS_IN_FLIGHT, finish_all, tell},
    seeds,
};
use anyhow::{Context, ensure};
use deadpool_postgres::tokio_postgres::{self, NoTls};
use dev::{
    bench::{
        Used,
        load::closed,
        quantile,
        report::{Aim, Better, Section},
    },
    stack::Part,
};
use reqwest::Method;
use serde_json::json;
use std::{fmt::Write, time::Instant};

pub const COMMAND: &str = "make bench ONLY=growth";
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
pub const OPEN: usize = 1_000;
/// So many open ones at the end, and their column.
const OPEN_MANY: usize = 10_000;
const MANY: &str = "100000, 10000 open";
const HELD: &str = "request to held, 1 in flight, p50";
const READS: &str = "reads of single bookings";
const RECOVERED: &str = "first new booking after SIGKILL of everything, from restart";

/// Every table that grows with the bookings, each with the rows of one of them to be copied.
const TABLES: [&str; 6] = [
    "board.bookings",
    "board.history",
    "catalog.holds",
    "payment.charges",
    "payment.postings",
    "notification.messages",
];

/// What people and sagas ask the tables, most of the time. None of it may read a table from end to end.
const QUERIES: [&str; 8] = [
    "select * from board.bookings where booking = any(array[$1]::uuid[])",
    "select * from board.bookings order by appeared desc limit 20",
    "select * from board.bookings where customer = 'member' order by appeared desc limit 20",
    "select * from board.bookings where system = 'ebook' order by appeared desc limit 20",
    "select * from board.bookings where waiting_for = 'administrator' order by waiting_for, coalesce(deadline_at, 'infinity'), appeared limit 20",
    "select * from board.history where booking = $1 order by version",
    "select * from board.history where (written_by, seq) > ('999999999'::xid8, 0) order by written_by, seq limit 100",
    "select * from payment.postings where booking = $1",
];

pub fn section() -> Section {
    Section::new(
        "Growth",
        "Columns: bookings that have ended in all tables, in turn, beside a thousand that are open and wait for a decision. Then \
         everything is killed with SIGKILL and started again; after that, ten thousand open ones.",
        COMMAND,
    )
}

pub async fn measure(field: &Field, plan: &Plan, section: &mut Section, say: &impl Fn(&str)) -> anyhow::Result<()> {
    let ours = Candidate::Holdfast;
    field.prepare(ours).await?;
    let book = field.books(ours, 1).await?[0];
    let template = field.begin(ours, book).await?;
    field.finish(ours, &template).await?;
    let before = field.used(ours);
    let open = wait_open(field, OPEN).await?;
    let with_open = field.used(ours);

    let admin = field.stack.borrow().addresses.environment()["HOLDFAST_ADMIN_DATABASE_URL"].clone();
    // As the sweep would, in some minutes: a copy that it has yet to look after would be no booking that has ended.
    let kept =
        format!("update payment.charges set kept_at = now() where booking = '{}' and kept_at is null", template.id);
    execute(&admin, &kept).await?;
    // In turn, so that what the machine does meanwhile is in the way of all sizes alike.
    let mut there = 0;
    for round in 1..=plan.rounds {
        for size in SIZES {
            say(&format!("growth, round {round} of {}: {size} bookings", plan.rounds));
            resize(&admin, &template.id, there, size).await?;
            there = size;
            if (round, size) == (plan.rounds, SIZES[SIZES.len() - 1]) {
                execute(&admin, "select pg_stat_reset()").await?;
            }
            figures(field, plan, &size.to_string(), section).await?;
        }
    }
    add_memory(section, "1000", OPEN, &before, &with_open);
    section.notes.extend(plans(&admin, &template.id).await?);
    section.notes.push(read_whole(&admin).await?);
    say("growth: everything is killed");
    recover(field, open, section).await?;

    say(&format!("growth: {OPEN_MANY} open bookings"));
    field.calm().await?;
    let before = field.used(ours);
    wait_open(field, OPEN_MANY).await?;
    add_memory(section, MANY, OPEN_MANY, &before, &field.used(ours));
    field.calm().await?;
    for _ in 0..plan.rounds {
        figures(field, plan, MANY, section).await?;
    }
    Ok(())
}

/// Has so many bookings wait for a decision.
async fn wait_open(field: &Field, count: usize) -> anyhow::Result<Vec<Begun>> {
    let ours = Candidate::Holdfast;
    let books = field.books(ours, count).await?;
    let open = closed(RENTALS_IN_FLIGHT, books, async |book| {
        let begun = field.begin_for(ours, book, "member", Some("wait=30")).await?;
        field.until(ours, &begun, "paid").await?;
        anyhow::Ok(begun)
    });
    open.await.into_iter().map(|(_, begun)| begun).collect()
}

fn add_memory(section: &mut Section, column: &str, count: usize, before: &Used, after: &Used) {
    for (process, used) in after {
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let each = used.memory_bytes.saturating_sub(before[process].memory_bytes) as f64 / 1024.0 / count as f64;
        section.add(column, &format!("memory for each open booking, {process}"), "KiB", Better::Less, each);
    }
}

/// What must stay as it is.
async fn figures(field: &Field, plan: &Plan, column: &str, section: &mut Section) -> anyhow::Result<()> {
    let ours = Candidate::Holdfast;
    let books = field.books(ours, plan.requests).await?;
    let held = closed(1, books, async |book| field.begin(ours, book).await).await;
    let took = finish_all(field, ours, held).await?;
    section.add(column, HELD, "ms", Better::Less, quantile(&took, 0.5));
    let books = field.books(ours, plan.rentals).await?;
    let (count, began) = (books.len(), Instant::now());
    tell(field, ours, books).await?;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    section.add(column, FULL, "1/s", Better::More, count as f64 / began.elapsed().as_secs_f64());
    let mut reads = seeds::section();
    seeds::reads(field, &mut reads, "").await?;
    for row in reads.rows {
        section.add(column, &row.figure, row.unit, row.better, row.values["reads"][0]);
    }
    Ok(())
}

/// Copies the rows of a rental that has ended, in every table, or deletes such copies, until there are so many. Afterwards the
/// tables are as small as they can be, and Postgres has nothing left to do about them.
async fn resize(admin: &str, template: &str, from: usize, to: usize) -> anyhow::Result<()> {
    let last = SIZES[SIZES.len() - 1];
    let made = format!(
        "create table if not exists public.copies as \
         select number, gen_random_uuid()::text as id from generate_series(1, {last}) number"
    );
    let changed = if from < to {
        format!(
            "select string_agg(quote_ident(attname), ', ') filter (where attname <> 'booking' and attidentity = '' and attgenerated = ''), \
             max(format_type(atttypid, null)) filter (where attname = 'booking') into others, kind \
             from pg_attribute where attrelid = grows::regclass and attnum > 0 and not attisdropped; \
             execute format('insert into %1$s (booking, %2$s) select id::%3$s, %2$s from %1$s, public.copies \
             where booking = %4$L and number > {from} and number <= {to}', grows, others, kind, '{template}');"
        )
    } else {
        format!(
            "execute format('delete from %s where booking::text in (select id from public.copies where number > {to})', grows);"
        )
    };
    let tables = TABLES.join(", ");
    let each = format!(
        "do $$ declare grows text; others text; kind text; begin \
         foreach grows in array '{{{tables}}}'::text[] loop {changed} end loop; end $$"
    );
    // Triggers look at what is new, and that is no copy's.
    execute(admin, &format!("set session_replication_role = replica; {made}; {each}")).await?;
    execute(admin, &format!("vacuum (full, analyze) {tables}")).await?;
    // It also says which rows everybody can see, which a copy of the table does not.
    execute(admin, &format!("vacuum {tables}")).await?;
    execute(admin, "checkpoint").await
}

/// How the queries are answered: by which indexes.
async fn plans(admin: &str, booking: &str) -> anyhow::Result<Vec<String>> {
    let (client, connection) = tokio_postgres::connect(admin, NoTls).await?;
    let connection = tokio::spawn(connection);
    let mut notes = vec!["How the tables are asked, with all of them filled (`explain`):".to_owned()];
    for query in QUERIES {
        let query = query.replace("$1", &format!("'{booking}'"));
        let mut plan = String::new();
        for row in client.query(&format!("explain {query}"), &[]).await? {
            plan += row.get::<_, &str>(0);
            plan.push('\n');
        }
        ensure!(!plan.contains("Seq Scan"), "{query} reads a table from end to end:\n{plan}");
        let index = plan
            .lines()
            .find_map(|line| line.split_once("using ").or_else(|| line.split_once("Bitmap Index Scan on ")));
        let index = index.and_then(|(_, rest)| rest.split_whitespace().next()).context("a plan without an index")?;
        let asked = query.replace(booking, "…");
        notes.push(format!("- `{asked}`: {index}"));
    }
    drop(client);
    connection.await??;
    Ok(vec![notes[..1].concat(), notes[1..].join("\n")])
}

/// Which tables were read from end to end since the statistics were reset, by whatever was asked of them.
async fn read_whole(admin: &str) -> anyhow::Result<String> {
    let (client, connection) = tokio_postgres::connect(admin, NoTls).await?;
    let connection = tokio::spawn(connection);
    let mut told = "What was really asked while the figures of the last column but one were taken (`pg_stat_user_tables`), by table: rows \
                    read from end to end, and rows found by an index:\n"
        .to_owned();
    for table in TABLES {
        let query =
            "select seq_tup_read, coalesce(idx_tup_fetch, 0) from pg_stat_user_tables where relid = $1::text::regclass";
        let row = client.query_one(query, &[&table]).await?;
        let _ = write!(told, "\n- {table}: {}, {}", row.get::<_, i64>(0), row.get::<_, i64>(1));
    }
    drop(client);
    connection.await??;
    Ok(told)
}

/// Everything is killed, and started again.
#[expect(clippy::await_holding_refcell_ref, reason = "one thing at a time happens to the stack")]
async fn recover(field: &Field, open: Vec<Begun>, section: &mut Section) -> anyhow::Result<()> {
    let ours = Candidate::Holdfast;
    let book = field.books(ours, 1).await?[0];
    let began = Instant::now();
    {
        let mut stack = field.stack.borrow_mut();
        for part in Part::TOGETHER.iter().rev() {
            stack.kill(*part);
        }
        for part in Part::TOGETHER {
            stack.run(*part).await?;
        }
    }
    let answer = loop {
        let body = json!({ "bookId": book });
        let asked = answered(field.request(Method::POST, "/ebook/rents", &field.member).json(&body)).await;
        if let Ok(answer) = asked {
            break answer;
        }
        ensure!(began.elapsed() < ANSWERED_WITHIN, "nothing is answered after {ANSWERED_WITHIN:?}");
    };
    section.add("1000", RECOVERED, "s", Better::Less, began.elapsed().as_secs_f64());
    let id = answer["id"].as_str().context("a rental without an id")?.to_owned();
    field.finish(ours, &Begun { id, book }).await?;
    let count = open.len();
    finish_all(field, ours, open.into_iter().map(|begun| (0.0, Ok(begun))).collect()).await?;
    section.notes.push(format!("All {count} that were open when everything was killed were told to their end."));
    Ok(())
}

pub fn aims(section: &Section) -> Vec<Aim> {
    let mut aims = Vec::new();
    if let Some(reached) = section.median("1000", RECOVERED) {
        aims.push(Aim {
            what: "first new booking after everything was killed, s".to_owned(),
            aim: 15.0,
            reached,
            better: Better::Less,
        });
    }
    let mut ratio = |figure: &str, better, aim: f64, what: &str, [few, many]: [&str; 2]| {
        if let (Some(few), Some(many)) = (section.median(few, figure), section.median(many, figure)) {
            aims.push(Aim { what: what.to_owned(), aim, reached: many / few, better });
        }
    };
    let (ended, open) = (["1000", "100000"], ["100000", MANY]);
    ratio(READS, Better::More, 0.8, "reads with 100,000 bookings / with 1,000", ended);
    ratio(HELD, Better::Less, 1.2, "request to held with 100,000 bookings / with 1,000", ended);
    ratio(READS, Better::More, 0.8, "reads with 10,000 open bookings / with 1,000", open);
    ratio(HELD, Better::Less, 1.2, "request to held with 10,000 open bookings / with 1,000", open);
    aims
}
