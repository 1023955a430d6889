//! The load that the forerunners of these systems were measured with, literally: `siege -c100` asking for one resort and for
//! distinct ones for ten seconds, for distinct books as long, and for one book for a minute, while every payment takes 400 to
//! 620 ms. They answered 15.73 requests a second, a fifth of them wrongly. Then reads of single bookings, with `wrk`.

use crate::candidate::{BOOKS, Candidate, Field, Wares};
use anyhow::{Context, ensure};
use dev::bench::report::{Aim, Better, Section};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{process::Command, time::timeout};

pub const COMMAND: &str = "make bench ONLY=seeds";
const SETTLES_WITHIN: Duration = Duration::from_mins(3);
/// What the best of the forerunners answered each second.
const FORERUNNERS: f64 = 15.73;
/// How much longer than it should a siege may take to end.
const SIEGE_ENDS_WITHIN: Duration = Duration::from_secs(20);
const ACCEPTED: &str = "accepted each second";
const FAILED: &str = "failed, as siege counts";
const ANSWERS: &str = "answers each second";
const SLOWEST: &str = "99 of 100 answered within";

pub fn section() -> Section {
    Section::new(
        "The load of the forerunners",
        "`siege -c100 -b`, for ten seconds, and for a minute where one book is asked for; payments of 400 to 620 ms. Answers by \
         status and time as the gateway counted them. Reads: `wrk -t2 -c32 -d8s`.",
        COMMAND,
    )
}

/// What a hundred people ask for, and for how long.
struct Siege {
    /// Its column.
    name: &'static str,
    of: &'static Wares,
    /// How many there are of it.
    items: usize,
    seconds: u8,
}

const RESORTS: Wares = Wares {
    list: "/resort/resorts",
    item: || json!({ "resortName": "Sea view", "resortPeriod": "7/23~25", "resortPrice": 100 }),
    ask: "/resort/reservations",
    field: "resortId",
};
const ONE_RESORT: &str = "one resort";
const DISTINCT_BOOKS: &str = "distinct books";
const DISTINCT_RESORTS: &str = "distinct resorts";
const ONE_BOOK: &str = "one book, a minute";
/// More than are asked for in the time.
const MANY: usize = 3000;
const SIEGES: [Siege; 4] = [
    Siege { name: ONE_RESORT, of: &RESORTS, items: 1, seconds: 10 },
    Siege { name: DISTINCT_RESORTS, of: &RESORTS, items: MANY, seconds: 10 },
    Siege { name: DISTINCT_BOOKS, of: &BOOKS, items: MANY, seconds: 10 },
    Siege { name: ONE_BOOK, of: &BOOKS, items: 1, seconds: 60 },
];

pub async fn measure(field: &Field, section: &mut Section) -> anyhow::Result<()> {
    field.prepare(Candidate::Holdfast).await?;
    let simulator = field.stack.borrow().addresses.environment()["HOLDFAST_SIMULATOR_URL"].clone();
    let slow = json!({ "delay_ms": [400, 620], "customer": "member" });
    field.http.put(format!("{simulator}/faults")).json(&slow).send().await?.error_for_status()?;
    for each in &SIEGES {
        // The messages of the siege before are still being sent.
        field.calm().await?;
        siege(field, section, each).await?;
    }
    field.http.delete(format!("{simulator}/faults/member")).send().await?.error_for_status()?;
    reads(field, section, "").await
}

async fn siege(field: &Field, section: &mut Section, siege: &Siege) -> anyhow::Result<()> {
    let Siege { name, of, items, seconds } = siege;
    let (route, asked) = (of.ask, of.field);
    let numbers = field.listed(of, *items).await?;
    let requests: Vec<_> =
        numbers.iter().map(|number| format!("{}{route} POST {{\"{asked}\":{number}}}", field.api)).collect();
    let folder = std::env::temp_dir().join(format!("holdfast-siege-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (rules, urls) = (folder.join("rules"), folder.join("urls"));
    // It gives up after a thousand refusals otherwise.
    std::fs::write(&rules, "failures = 1000000\nlogging = false\njson_output = true\n")?;
    std::fs::write(&urls, requests.join("\n"))?;
    let before = answers(field, route).await?;
    let mut command = Command::new("siege");
    command.args(["-q", "-c100", "-b", "--content-type", "application/json"]).arg(format!("-t{seconds}S"));
    command.arg("-R").arg(&rules).arg("-f").arg(&urls).args(["-H", &format!("Authorization: Bearer {}", field.member)]);
    let seconds = f64::from(*seconds);
    match timeout(Duration::from_secs_f64(seconds) + SIEGE_ENDS_WITHIN, command.kill_on_drop(true).output()).await {
        Ok(done) => {
            let done = done.context("siege: run `tools/setup bench`")?;
            let text = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
            let (_, rest) = text.split_once("\"failed_transactions\":").context("siege did not say what failed")?;
            let broken = rest.split([',', '}']).next().unwrap_or_default().trim().parse()?;
            section.add(name, FAILED, "", Better::Less, broken);
        }
        // Its threads wait for each other now and then when its time is over. The gateway has counted.
        Err(_) => section.notes.push(format!("{name}: siege did not come to its end.")),
    }
    let (mut all, mut accepted, mut answered) = (BTreeMap::new(), 0.0, 0.0);
    for (status, buckets) in answers(field, route).await? {
        let mut counts = buckets;
        for (le, earlier) in before.get(&status).into_iter().flatten() {
            *counts.entry(le.clone()).or_default() -= earlier;
        }
        let count = counts["all"];
        answered += count;
        if status.starts_with('2') {
            accepted += count;
        }
        if count > 0.0 {
            section.add(name, &format!("answered {status}"), "", Better::More, count);
            section.add(
                name,
                &format!("answered {status}, within 100 ms"),
                "%",
                Better::More,
                100.0 * counts["0.1"] / count,
            );
        }
        for (le, count) in counts {
            *all.entry(le).or_insert(0.0) += count;
        }
    }
    section.add(name, ANSWERS, "1/s", Better::More, answered / seconds);
    section.add(name, ACCEPTED, "1/s", Better::More, accepted / seconds);
    section.add(name, SLOWEST, "ms", Better::Less, within(&all, 0.99) * 1000.0);
    let began = Instant::now();
    while under_way(field).await? > 0 {
        ensure!(began.elapsed() < SETTLES_WITHIN, "bookings are still under way after {SETTLES_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    section.add(name, "all that were accepted are settled after", "s", Better::Less, began.elapsed().as_secs_f64());
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// Requests answered so far, by status and bucket of time.
async fn answers(field: &Field, route: &str) -> anyhow::Result<BTreeMap<String, BTreeMap<String, f64>>> {
    let admin = field.stack.borrow().addresses.admin;
    let text = field.http.get(format!("http://127.0.0.1:{admin}/metrics")).send().await?.text().await?;
    let mut seen: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("holdfast_request_seconds_")) {
        let Some((labels, value)) = line.split_once('{').and_then(|(_, rest)| rest.split_once("} ")) else { continue };
        let labels: BTreeMap<&str, &str> = labels
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        if labels.get("method") != Some(&"POST") || labels.get("route") != Some(&route) || line.starts_with("sum") {
            continue;
        }
        let le = labels.get("le").copied().unwrap_or("all");
        seen.entry(labels["status"].to_owned()).or_default().insert(le.to_owned(), value.parse()?);
    }
    Ok(seen)
}

/// The bucket that a share of all are within, in seconds.
fn within(counts: &BTreeMap<String, f64>, share: f64) -> f64 {
    let mut buckets: Vec<(f64, f64)> =
        counts.iter().filter_map(|(le, count)| Some((le.parse().ok()?, *count))).collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let wanted = share * counts.get("all").copied().unwrap_or_default();
    buckets.iter().find(|(_, count)| *count >= wanted).map_or(f64::INFINITY, |(le, _)| *le)
}

async fn under_way(field: &Field) -> anyhow::Result<i64> {
    let today = field.ask(Method::GET, "/today", &field.librarian, None).await?;
    let stages =
        today["systems"].as_array().into_iter().flatten().filter_map(|system| system["stages"].as_array()).flatten();
    // A resort that is confirmed waits for its customer to pay, as a book that is paid for waits for the librarian.
    let moving = |stage: &&Value| matches!(stage["stage"].as_str(), Some("requested" | "held" | "undoing"));
    Ok(stages.filter(moving).filter_map(|stage| stage["count"].as_i64()).sum())
}

/// Reads of single bookings: a hundred of them, in turn.
pub async fn reads(field: &Field, section: &mut Section, suffix: &str) -> anyhow::Result<()> {
    field.calm().await?;
    let listed = field.ask(Method::GET, "/bookings?limit=100", &field.librarian, None).await?;
    let bookings = listed["bookings"].as_array().context("bookings to read")?;
    let ids = bookings.iter().filter_map(|booking| booking["id"].as_str());
    let paths: Vec<String> = ids.map(|id| format!("'/bookings/{id}'")).collect();
    ensure!(!paths.is_empty(), "there are no bookings to read");
    let script = std::env::temp_dir().join(format!("holdfast-wrk-{}.lua", std::process::id()));
    let turns =
        "local turn = 0\nrequest = function() turn = turn % #paths + 1; return wrk.format(nil, paths[turn]) end\n";
    std::fs::write(&script, format!("local paths = {{{}}}\n{turns}", paths.join(",")))?;
    let done = Command::new("wrk")
        .args(["-t2", "-c32", "-d8s", "--latency", "-H", &format!("Authorization: Bearer {}", field.librarian)])
        .arg("-s")
        .arg(&script)
        .arg(&field.api)
        .output()
        .await
        .context("wrk: run `tools/setup bench`")?;
    std::fs::remove_file(script)?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    ensure!(!text.contains("Non-2xx"), "{text}");
    let said =
        |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(|rest| rest.trim().to_owned());
    let rate: f64 = said("Requests/sec:").context("wrk did not say how many")?.parse()?;
    section.add("reads", &format!("reads of single bookings{suffix}"), "1/s", Better::More, rate);
    section.add(
        "reads",
        &format!("99 of 100 read within{suffix}"),
        "ms",
        Better::Less,
        milliseconds(&said("99%").context("wrk did not say p99")?)?,
    );
    Ok(())
}

/// Reads wrk's way to write times.
fn milliseconds(text: &str) -> anyhow::Result<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * factor);
        }
    }
    anyhow::bail!("{text}: expected a time")
}

pub fn aims(section: &Section) -> Vec<Aim> {
    let mut aims = Vec::new();
    let mut aim = |what: &str, column: &str, figure: &str, better, aim: f64| {
        if let Some(reached) = section.median(column, figure) {
            aims.push(Aim { what: what.to_owned(), aim, reached, better });
        }
    };
    let one = [ONE_RESORT, ONE_BOOK];
    let distinct = [DISTINCT_RESORTS, DISTINCT_BOOKS];
    for name in one {
        aim(&format!("{name}: answers each second"), name, ANSWERS, Better::More, 100.0 * FORERUNNERS);
        aim(&format!("{name}: 99 of 100 answered within, ms"), name, SLOWEST, Better::Less, 100.0);
    }
    for name in distinct {
        aim(&format!("{name}: accepted each second"), name, ACCEPTED, Better::More, 2.0 * FORERUNNERS);
        aim(&format!("{name}: 99 of 100 answered within, ms"), name, SLOWEST, Better::Less, 1200.0);
    }
    for name in one.into_iter().chain(distinct) {
        aim(&format!("{name}: failed, as siege counts"), name, FAILED, Better::Less, 0.0);
    }
    aim("reads of single bookings each second", "reads", "reads of single bookings", Better::More, 5000.0);
    aim("99 of 100 read within, ms", "reads", "99 of 100 read within", Better::Less, 20.0);
    aims
}
