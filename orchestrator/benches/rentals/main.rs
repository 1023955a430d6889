//! `make bench`: what a rental costs, beside the floor, on this machine. Interleaved: every round measures both.
//!
//! The figures go to the screen and, as a table, to `docs/benchmarks.md`. Compare the two columns of one run; absolute
//! figures of shared machines are weather.

#![expect(clippy::print_stdout, reason = "a benchmark tells what it does")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod floor;

use dev::{
    addresses::Addresses,
    program::usage_of,
    stack::{Part, Stack},
};
use floor::Stages;
use futures::{StreamExt, stream};
use orchestrator::gateway::auth::{self, Auth, Caller, Role};
use reqwest::{Client as Http, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt::Write,
    time::{Duration, Instant},
};
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, Url};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ROUNDS: usize = 3;
const IN_FLIGHT: [usize; 3] = [1, 30, 100];
/// Bookings measured in each round, for the latency at each level and for the throughput.
const REQUESTS: usize = 100;
const RENTALS: usize = 150;
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(100);
const RENTALS_IN_FLIGHT: usize = 30;

/// The two candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Candidate {
    Holdfast,
    Floor,
}

struct Bench {
    stack: Stack,
    http: Http,
    api: String,
    librarian: String,
    member: String,
    temporal: Client,
    stages: Stages,
}

#[derive(Default)]
struct Figures {
    /// Request to held, in milliseconds, by how many are in flight.
    latency_ms: HashMap<usize, Vec<f64>>,
    /// Full rentals each second, by round.
    throughput: Vec<f64>,
    /// Processor milliseconds per rental, by round: Temporal, Postgres, ours.
    cpu_ms: Vec<[f64; 3]>,
}

fn main() {
    // `cargo test --benches` and the like only want to know that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let folder = std::env::temp_dir().join(format!("holdfast-bench-{}", std::process::id()));
    let started = Instant::now();
    // Three people make all requests.
    let addresses = Addresses::free()
        .unwrap()
        .with("HOLDFAST_REQUESTS_PER_SECOND_MAX", "100000")
        .with("HOLDFAST_REQUESTS_AT_ONCE_MAX", "1000");
    let stack = Stack::start(&folder, addresses, Part::TOGETHER, |part| println!("starting {part}"));
    let bench = Bench::new(stack.await.unwrap()).await;
    let stop = CancellationToken::new();
    let floor = floor::host(bench.temporal.clone(), bench.stages.clone(), stop.clone().cancelled_owned());
    let mut figures: HashMap<Candidate, Figures> = HashMap::new();
    let measure = async {
        println!("warming up");
        for candidate in [Candidate::Holdfast, Candidate::Floor] {
            bench.rentals(candidate, RENTALS_IN_FLIGHT).await;
        }
        for round in 1..=ROUNDS {
            for candidate in [Candidate::Holdfast, Candidate::Floor] {
                println!("round {round} of {ROUNDS}: {candidate:?} ({} s)", started.elapsed().as_secs());
                bench.measure(candidate, figures.entry(candidate).or_default()).await;
            }
        }
        stop.cancel();
    };
    tokio::join!(floor, measure);
    let report = report(&figures, &bench);
    println!("{report}");
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md"), report).unwrap();
    drop(bench);
    std::fs::remove_dir_all(folder).unwrap();
}

impl Bench {
    async fn new(stack: Stack) -> Self {
        let settings: HashMap<_, _> = stack.addresses.environment().into_iter().collect();
        let auth = Auth::new(&auth::Settings::for_development(settings["HOLDFAST_JWT_SECRET"].clone().into())).unwrap();
        let token = |subject: &str, role| {
            let caller = Caller { subject: subject.parse().unwrap(), roles: vec![role] };
            auth.token(&caller, Duration::from_hours(1)).unwrap()
        };
        let url = Url::parse(&format!("http://{}", settings["TEMPORAL_ADDRESS"])).unwrap();
        let connection = Connection::connect(ConnectionOptions::new(url).build()).await.unwrap();
        Self {
            http: Http::new(),
            api: format!("http://{}", settings["HOLDFAST_HTTP"]),
            librarian: token("librarian", Role::Admin),
            member: token("member", Role::Member),
            temporal: Client::new(connection, ClientOptions::new(&settings["TEMPORAL_NAMESPACE"]).build()).unwrap(),
            stages: Stages::default(),
            stack,
        }
    }

    async fn measure(&self, candidate: Candidate, figures: &mut Figures) {
        for in_flight in IN_FLIGHT {
            let requests = if in_flight == 1 { REQUESTS / 2 } else { REQUESTS };
            let items = self.items(candidate, requests).await;
            let measured =
                stream::iter(items).map(|item| self.begin(candidate, item, None)).buffer_unordered(in_flight);
            let begun: Vec<(f64, String, i64)> = measured.collect().await;
            // Brought to their ends before anything else is measured.
            let ends = stream::iter(&begun).map(|(_, id, item)| self.finish(candidate, id, *item));
            ends.buffer_unordered(RENTALS_IN_FLIGHT).collect::<Vec<()>>().await;
            figures.latency_ms.entry(in_flight).or_default().extend(begun.iter().map(|(ms, ..)| ms));
        }
        let before = self.cpu(candidate);
        let took = self.rentals(candidate, RENTALS).await;
        let after = self.cpu(candidate);
        figures.throughput.push(RENTALS as f64 / took.as_secs_f64());
        let each = |at: usize| after[at].saturating_sub(before[at]).as_secs_f64() * 1000.0 / RENTALS as f64;
        figures.cpu_ms.push([each(0), each(1), each(2)]);
    }

    /// Some full rentals, and how long they took together. Registering the items is not counted.
    async fn rentals(&self, candidate: Candidate, count: usize) -> Duration {
        let items = self.items(candidate, count).await;
        let began = Instant::now();
        let rentals = stream::iter(items).map(async |item| {
            let (_, id, item) = self.begin(candidate, item, Some("wait=30")).await;
            self.finish(candidate, &id, item).await;
        });
        rentals.buffer_unordered(RENTALS_IN_FLIGHT).collect::<Vec<()>>().await;
        began.elapsed()
    }

    async fn items(&self, candidate: Candidate, count: usize) -> Vec<i64> {
        let numbers = stream::iter(0..count).map(async |_| match candidate {
            Candidate::Floor => 0,
            Candidate::Holdfast => {
                let body = json!({ "bookName": "Hello, JAVA", "rentalFee": 3000 });
                let book = self.ask(Method::POST, "/ebook/books", &self.librarian, Some(body)).await;
                book["id"].as_i64().unwrap()
            }
        });
        numbers.buffer_unordered(4).collect().await
    }

    /// From request to held: milliseconds, the booking, and its item. A client that wants the whole rental prefers to wait
    /// for its payment, and need not look for it.
    async fn begin(&self, candidate: Candidate, item: i64, prefer: Option<&str>) -> (f64, String, i64) {
        let began = Instant::now();
        let id = match candidate {
            Candidate::Holdfast => {
                let body = json!({ "bookId": item });
                let request = self.request(Method::POST, "/ebook/rents", &self.member).json(&body);
                let request = request.header("idempotency-key", item);
                let rental =
                    answered(prefer.into_iter().fold(request, |request, wish| request.header("prefer", wish))).await;
                rental["id"].as_str().unwrap().to_owned()
            }
            Candidate::Floor => {
                let id = Uuid::now_v7().to_string();
                floor::begin(&self.temporal, &self.stages, &id).await;
                id
            }
        };
        (began.elapsed().as_secs_f64() * 1000.0, id, item)
    }

    /// From held to returned.
    async fn finish(&self, candidate: Candidate, id: &str, item: i64) {
        match candidate {
            Candidate::Floor => floor::finish(&self.temporal, &self.stages, id).await,
            Candidate::Holdfast => {
                self.until(id, "paid").await;
                self.ask(Method::PATCH, &format!("/ebook/books/approve/{item}"), &self.librarian, None).await;
                self.ask(Method::PATCH, &format!("/ebook/rents/return/{id}"), &self.member, None).await;
                self.until(id, "returned").await;
            }
        }
    }

    async fn until(&self, id: &str, stage: &str) {
        loop {
            let booking = self.ask(Method::GET, &format!("/ebook/rents/{id}"), &self.member, None).await;
            if booking["stage"] == stage {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Value {
        let request = self.request(method, path, token);
        answered(body.into_iter().fold(request, |request, body| request.json(&body))).await
    }

    fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.api)).bearer_auth(token)
    }

    /// Processor time so far: Temporal, Postgres, and what runs the bookings (for the floor, this process, which also
    /// drives them).
    fn cpu(&self, candidate: Candidate) -> [Duration; 3] {
        let ours = match candidate {
            Candidate::Floor => usage_of(std::process::id()).cpu,
            Candidate::Holdfast => self.stack.usage(Part::Orchestrator).cpu + self.stack.usage(Part::Workers).cpu,
        };
        [self.stack.usage(Part::Temporal).cpu, self.stack.usage(Part::Postgres).cpu, ours]
    }
}

/// Asks as clients do: what is not known in time is asked again.
async fn answered(request: RequestBuilder) -> Value {
    let until = Instant::now() + ANSWERED_WITHIN;
    loop {
        let response = request.try_clone().unwrap().send().await.unwrap();
        let status = response.status();
        let body = response.json().await.unwrap();
        if status.is_success() {
            return body;
        }
        assert!(status == StatusCode::SERVICE_UNAVAILABLE && Instant::now() < until, "{status} {body}");
        tokio::time::sleep(ASKED_AGAIN_AFTER).await;
    }
}

fn report(figures: &HashMap<Candidate, Figures>, bench: &Bench) -> String {
    let (ours, floor) = (&figures[&Candidate::Holdfast], &figures[&Candidate::Floor]);
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `make bench`. The floor is the shape of a rental on the same Temporal server with activities that do\n\
         nothing and no HTTP, database or payment provider: what the engine alone costs. Rounds alternate between the two; the\n\
         figures are medians over all rounds, and the ratio is what to compare between machines.\n\n",
    );
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let _ = writeln!(text, "Machine: {cores} cores. Rounds: {ROUNDS}. Release build, everything on one machine.\n");
    let _ = writeln!(text, "| figure | Holdfast | floor | ratio |\n|---|---|---|---|");
    for in_flight in IN_FLIGHT {
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let (ours, floor) =
                (quantile(&ours.latency_ms[&in_flight], share), quantile(&floor.latency_ms[&in_flight], share));
            let _ = writeln!(
                text,
                "| request to held, {name}, {in_flight} in flight | {ours:.0} ms | {floor:.0} ms | {:.2} |",
                ours / floor
            );
        }
    }
    let (mine, theirs) = (quantile(&ours.throughput, 0.5), quantile(&floor.throughput, 0.5));
    let _ = writeln!(
        text,
        "| full rentals each second, {RENTALS_IN_FLIGHT} in flight | {mine:.1} | {theirs:.1} | {:.2} |",
        mine / theirs
    );
    for (at, name) in ["Temporal", "Postgres", "orchestrator and workers"].into_iter().enumerate() {
        let of = |figures: &Figures| quantile(&figures.cpu_ms.iter().map(|cpu| cpu[at]).collect::<Vec<_>>(), 0.5);
        let (mine, theirs) = (of(ours), of(floor));
        let shown = if at == 2 { "(with the driver) " } else { "" };
        let _ = writeln!(text, "| processor time per rental, {name} | {mine:.1} ms | {shown}{theirs:.1} ms | |");
    }
    let _ = writeln!(
        text,
        "\n| resident memory at the end (Postgres counts its shared buffers once for each connection) | MiB |\n|---|---|"
    );
    for part in Part::TOGETHER {
        let memory = bench.stack.usage(*part).memory_bytes as f64 / 1_048_576.0;
        let _ = writeln!(text, "| {} | {memory:.0} |", part.name());
    }
    text
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place within the list")]
    let at = (share * last as f64).round() as usize;
    sorted[at.min(last)]
}
