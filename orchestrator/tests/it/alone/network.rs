//! Network: between every two parts stands a proxy (Toxiproxy) that makes the way between them bad, while people rent and read. What
//! they see of it is written to `docs/network.md`; nothing may be lost. Then the same where Postgres has no connections left, and
//! where Temporal takes no more. Run by `make network`; `ONLY=catalog` for the ways with this word.

use super::{
    own_stack::OwnStack,
    people::{self, Asked, Outcome, Seen},
    soak,
};
use crate::world::{ANSWERED_WITHIN, World};
use dev::{
    addresses::Addresses,
    program::Program,
    stack::{self, Part},
};
use futures::{StreamExt, future::join_all, stream};
use nix::sys::signal::Signal;
use reqwest::Client;
use serde_json::{Value, json};
use std::{collections::HashMap, fmt::Write, path::Path, process::Command, sync::Mutex, time::Duration};
use tokio::time::{Instant, sleep, timeout};

const READERS: u32 = 10;
const RENTERS: usize = 3;
/// One more: by the queues alone, where the others take the short road.
const BY_QUEUES: (&str, &str) = ("HOLDFAST_SHORT_ROAD", "false");
/// How long a way is bad.
const BAD_FOR: Duration = Duration::from_secs(4);
/// How long until somebody who begins then has rented and returned.
const WHOLE_AGAIN_WITHIN: Duration = Duration::from_mins(1);
const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// So often all connections are taken, until nobody else has one.
const TAKEN_WITHIN: usize = 50;
/// More than Postgres has.
const CONNECTIONS: usize = 200;
/// Requests a second that Temporal takes from the whole namespace, where it takes few.
const FEW: u32 = 25;

/// A way between two parts, with the setting of the one that says where the other is.
struct Way {
    name: &'static str,
    /// Of this part; of every part, where there is none.
    part: Option<Part>,
    setting: &'static str,
}

const fn way(name: &'static str, part: Option<Part>, setting: &'static str) -> Way {
    Way { name, part, setting }
}

const WAYS: &[Way] = &[
    way("people to gateway", None, "HOLDFAST_HTTP"),
    way("gateway to catalog", None, "HOLDFAST_CATALOG_URL"),
    way("gateway to payment", None, "HOLDFAST_PAYMENT_URL"),
    way("gateway to notification", None, "HOLDFAST_NOTIFICATION_URL"),
    way("gateway to fulfilment", None, "HOLDFAST_FULFILMENT_URL"),
    way("orchestrator to Temporal", Some(Part::Orchestrator), "TEMPORAL_ADDRESS"),
    way("catalog to Temporal", Some(Part::Catalog), "TEMPORAL_ADDRESS"),
    way("payment to Temporal", Some(Part::Payment), "TEMPORAL_ADDRESS"),
    way("notification to Temporal", Some(Part::Notification), "TEMPORAL_ADDRESS"),
    way("fulfilment to Temporal", Some(Part::Fulfilment), "TEMPORAL_ADDRESS"),
    way("orchestrator to Postgres", None, "HOLDFAST_BOARD_DATABASE_URL"),
    way("catalog to Postgres", None, "HOLDFAST_CATALOG_DATABASE_URL"),
    way("payment to Postgres", None, "HOLDFAST_PAYMENT_DATABASE_URL"),
    way("notification to Postgres", None, "HOLDFAST_NOTIFICATION_DATABASE_URL"),
    way("fulfilment to Postgres", None, "HOLDFAST_FULFILMENT_DATABASE_URL"),
    way("payment to its provider", None, "HOLDFAST_PAYMENT_PROVIDER_URL"),
];

/// How a way is bad: a toxic, and what it is told.
const ILLS: &[(&str, &str, &str)] = &[
    ("slow: 300 ms ± 250", "latency", r#"{ "latency": 300, "jitter": 250 }"#),
    ("narrow: 20 KB/s", "bandwidth", r#"{ "rate": 20 }"#),
    ("reset after 100 ms", "reset_peer", r#"{ "timeout": 100 }"#),
    ("half open: nothing comes", "timeout", r#"{ "timeout": 0 }"#),
];

/// The proxies: one on each way.
struct Proxies {
    http: Client,
    api: String,
    /// What the proxies were made of, by the names of their ways.
    made: Mutex<HashMap<&'static str, Value>>,
    _program: Program,
}

impl Proxies {
    async fn start(logs: &Path) -> Self {
        let port = Addresses::free().unwrap().http;
        let mut command = Command::new(stack::tool("toxiproxy-server").unwrap());
        command.args(["-host", "127.0.0.1", "-port", &port.to_string()]);
        let mut program = Program::start("toxiproxy", command, logs, Signal::SIGTERM).unwrap();
        let (http, api) =
            (Client::builder().timeout(STARTS_WITHIN).build().unwrap(), format!("http://127.0.0.1:{port}"));
        let is_ready = async || http.get(format!("{api}/version")).send().await.is_ok();
        program.ready(STARTS_WITHIN, is_ready).await.unwrap();
        Self { http, api, made: Mutex::default(), _program: program }
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.api)).json(&body).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap_or_default()
    }

    /// Puts one on a way. Gives back where the other is to be found from now on.
    async fn stand_on(&self, way: &Way, upstream: &str) -> String {
        // The part of an address that says where: after a scheme and a password, before a path.
        let there = upstream.rsplit_once("://").map_or(upstream, |(_, rest)| rest);
        let there = there.rsplit_once('@').map_or(there, |(_, rest)| rest);
        let there = there.split('/').next().unwrap();
        let new = json!({ "name": way.name, "listen": "127.0.0.1:0", "upstream": there, "enabled": true });
        let made = self.ask("/proxies", new).await;
        let at = upstream.replace(there, made["listen"].as_str().unwrap());
        self.made.lock().unwrap().insert(way.name, made);
        at
    }

    async fn make_bad(&self, way: &Way, toxic: &str, told: &str) {
        let told: Value = serde_json::from_str(told).unwrap();
        let path = format!("/proxies/{}/toxics", way.name);
        for stream in ["upstream", "downstream"] {
            let toxic = json!({ "name": stream, "type": toxic, "stream": stream, "attributes": told });
            self.ask(&path, toxic).await;
        }
    }

    /// Makes a way good. What was under way on it is lost, with its connections. By a new proxy at the same place: to take a toxic away
    /// hangs now and then where something is still on its way.
    async fn make_good(&self, way: &Way) {
        let gone = self.http.delete(format!("{}/proxies/{}", self.api, way.name)).send().await.unwrap();
        gone.error_for_status().unwrap();
        let again = self.made.lock().unwrap()[way.name].clone();
        self.ask("/proxies", again).await;
    }
}

/// What people saw, and when it was over.
struct Row {
    what: (String, String),
    asked: Vec<Asked>,
    whole_after: Duration,
}

impl Row {
    fn count(&self, wanted: fn(&Outcome) -> bool) -> usize {
        self.asked.iter().filter(|one| wanted(&one.outcome)).count()
    }

    fn unanswered(&self) -> usize {
        self.count(|what| matches!(what, Outcome::Nothing(_)))
    }

    fn slowest(&self) -> Duration {
        self.asked.iter().map(|one| one.took).max().unwrap_or_default()
    }

    fn told(&self) -> String {
        let sent_away = self.count(|what| matches!(what, Outcome::SentAway(_)));
        let (nothing, most) = (self.unanswered(), self.slowest().as_millis());
        let mut took: Vec<u128> = self.asked.iter().map(|one| one.took.as_millis()).collect();
        took.sort_unstable();
        let half = took.get(took.len() / 2).copied().unwrap_or_default();
        let (way, ill) = &self.what;
        let whole = self.whole_after.as_secs_f64();
        format!("| {way} | {ill} | {} | {sent_away} | {nothing} | {half} | {most} | {whole:.1} |", self.asked.len())
    }
}

/// P1 to P6, and X9: whatever becomes of the ways.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "make network"]
async fn nothing_is_lost_on_a_bad_way() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut own = OwnStack::prompt(&[Part::Postgres, Part::Temporal, Part::Simulator]).await;
    let (straight, proxies) = (own.stack.addresses.clone(), Proxies::start(&own.folder.join("logs")).await);
    let there = straight.environment();
    let mut people = straight.clone();
    for way in WAYS.iter().filter(|way| way.part.is_none()) {
        let at = proxies.stand_on(way, &there[way.setting]).await;
        if way.setting == "HOLDFAST_HTTP" {
            people = people.with(way.setting, &at);
        } else {
            own.stack.addresses = own.stack.addresses.clone().with(way.setting, &at);
        }
    }
    for part in [Part::Catalog, Part::Payment, Part::Notification, Part::Fulfilment, Part::Orchestrator] {
        let way = WAYS.iter().find(|way| way.part == Some(part)).unwrap();
        let at = proxies.stand_on(way, &there[way.setting]).await;
        own.stack.addresses = own.stack.addresses.clone().with(way.setting, &at);
        own.stack.run(part).await.unwrap();
    }
    let usual = own.stack.addresses.clone();
    own.stack.addresses = usual.clone().with(BY_QUEUES.0, BY_QUEUES.1);
    let by_queues = own.stack.run_replica(Part::Orchestrator).await.unwrap();
    own.stack.addresses = usual;
    let by_queues = &World::at(&by_queues.with("TEMPORAL_ADDRESS", &there["TEMPORAL_ADDRESS"]));
    let (world, seen, mut rows) = (&World::at(&people), &Seen::default(), Vec::new());

    let load = async {
        let readers = join_all((0..READERS).map(|number| people::read(world, seen, number, READERS)));
        let renters = join_all((0..RENTERS).map(|_| people::rent(world, seen)));
        let (_, rentals, others) = tokio::join!(readers, renters, people::rent(by_queues, seen));
        [rentals.concat(), others].concat()
    };
    let ills = async {
        for way in WAYS.iter().filter(|way| way.name.contains(&only)) {
            for (ill, toxic, told) in ILLS {
                proxies.make_bad(way, toxic, told).await;
                let after = async || proxies.make_good(way).await;
                rows.push(case(world, seen, (way.name, ill), after).await);
            }
        }
        if "Postgres has no connections left".contains(&only) {
            let taken = take_all_connections(world).await;
            let after = async || drop(taken);
            rows.push(case(world, seen, ("everybody to Postgres", "no connections left"), after).await);
        }
        if "Temporal takes few".contains(&only) {
            tokio::task::block_in_place(|| own.stack.stop(Part::Temporal));
            own.stack.temporal_told =
                ["frontend.namespaceRPS", "frontend.globalNamespaceRPS"].map(|key| format!("{key}={FEW}")).into();
            own.stack.run(Part::Temporal).await.unwrap();
            seen.take();
            let stack = &mut own.stack;
            let after = async || {
                tokio::task::block_in_place(|| stack.stop(Part::Temporal));
                stack.temporal_told.clear();
                stack.run(Part::Temporal).await.unwrap();
            };
            let ill = format!("{FEW} requests a second at most");
            rows.push(case(world, seen, ("everybody to Temporal", &ill), after).await);
        }
        seen.end();
    };
    let (rentals, ()) = tokio::join!(load, ills);

    for row in &rows {
        let (nobody, slowest) = (row.unanswered(), row.slowest());
        let is_theirs = row.what.0.starts_with("people");
        assert!(nobody == 0 || is_theirs, "{:?}: {nobody} were not answered at all", row.what);
        assert!(slowest < ANSWERED_WITHIN || is_theirs, "{:?}: somebody waited for {slowest:?}", row.what);
    }
    let asserted = stream::iter(&rentals).for_each_concurrent(8, async |rental| {
        assert_eq!(world.booking(rental).await["ending"], "completed");
        world.assert_promises(rental).await;
    });
    asserted.await;
    soak::look(world).await;
    println!("{} rentals, each completed and asserted", rentals.len());
    if only.is_empty() {
        write(&rows, rentals.len());
    }
}

/// Looks at what people see for a while, makes it good again, and waits until somebody who begins then has come through.
async fn case(world: &World, seen: &Seen, what: (&str, &str), make_good: impl AsyncFnOnce()) -> Row {
    drop(seen.take());
    sleep(BAD_FOR).await;
    let good = Instant::now();
    make_good().await;
    timeout(WHOLE_AGAIN_WITHIN, people::rent_once(world, seen)).await.expect("a whole rental");
    let row = Row { what: (what.0.to_owned(), what.1.to_owned()), asked: seen.take(), whole_after: good.elapsed() };
    println!("{}", row.told());
    row
}

/// Ends every connection of ours, and takes all there are, until we have none.
async fn take_all_connections(world: &World) -> Vec<tokio_postgres::Client> {
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename <> 'postgres' and application_name <> 'taken'";
    let url = format!("{}?application_name=taken", world.setting("HOLDFAST_BOARD_DATABASE_URL"));
    let (database, mut taken) = (world.database().await, Vec::new());
    for _ in 0..TAKEN_WITHIN {
        // Some are quicker than we are, and have one again.
        let ended = database.query(end, &[]).await.unwrap();
        if ended.is_empty() {
            return taken;
        }
        while let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
            tokio::spawn(connection);
            taken.push(client);
            assert!(taken.len() < CONNECTIONS, "it has always more");
        }
    }
    panic!("they always get connections again");
}

fn write(rows: &[Row], rentals: usize) {
    let mut text = format!(
        "# Bad ways\n\nWritten by `make network`: while {RENTERS} people rent one book after the other, one more does by the queues alone, and {READERS} \
         look at their bookings twice a second,\nthe way between two parts is bad for {} seconds, in both directions, by a proxy that stands on it; then its connections are \
         cut and it\nis good. What they saw from the beginning until somebody who began after it had rented and returned: requests, those \
         sent away to come back\nlater (503, 504), those nobody answered, the time of half of them and of the slowest, and how long after the way \
         was good that was.\nEvery request that was not answered was repeated with its key. {rentals} rentals, each completed, charged once \
         and told once.\n\n| way | how | requests | sent away | unanswered | half within, ms | slowest, ms | whole after, s |\n\
         |---|---|---|---|---|---|---|---|\n",
        BAD_FOR.as_secs()
    );
    for row in rows {
        let _ = writeln!(text, "{}", row.told());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/network.md");
    std::fs::write(path, text).unwrap();
}
