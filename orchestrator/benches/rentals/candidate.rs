//! The candidates: who rents books here, and how each is asked to.

use crate::floor::{self, Stages};
use anyhow::{Context, ensure};
use deadpool_postgres::tokio_postgres::{self, NoTls};
use dev::{
    addresses::Addresses,
    bench::{Used, cpu_ms_each},
    demo::token,
    program::{Program, usage_of},
    stack::{Part, Stack},
};
use nix::sys::signal::Signal;
use reqwest::{Client as Http, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, GrpcCompression, UntypedWorkflow, Url,
    WorkflowTerminateOptions,
};
use uuid::Uuid;

pub const ANSWERED_WITHIN: Duration = Duration::from_mins(3);
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(100);
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Uvicorn waits five seconds.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// Of processor time in a second: pollers and timers take some.
const CALM_MS: f64 = 300.0;
const CALM_WITHIN: Duration = Duration::from_mins(2);
const STARTS_WITHIN: Duration = Duration::from_mins(1);
/// The peers have their books already, as many as any run needs.
const PEER_BOOKS: i64 = 100_000;

/// What is rented or reserved here.
pub struct Wares {
    /// Where the librarian lists one, and what that is.
    pub list: &'static str,
    pub item: fn() -> Value,
    /// Where people ask for one, and the field that says which.
    pub ask: &'static str,
    pub field: &'static str,
}

pub const BOOKS: Wares = Wares {
    list: "/ebook/books",
    item: || json!({ "bookName": "Hello, JAVA", "rentalFee": 3000 }),
    ask: "/ebook/rents",
    field: "bookId",
};

/// Who rents books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Candidate {
    /// Ours, with both roads to its workers.
    Holdfast,
    /// Ours, which only asks workers through their queues.
    Queues,
    /// The same story with activities that do nothing.
    Floor,
    /// Temporal's Go SDK.
    Go,
    /// Temporal's Python SDK.
    Python,
    Restate,
    Dbos,
}

impl Candidate {
    pub const ALL: [Self; 7] =
        [Self::Holdfast, Self::Queues, Self::Floor, Self::Go, Self::Python, Self::Restate, Self::Dbos];
    pub const PEERS: [Self; 4] = [Self::Go, Self::Python, Self::Restate, Self::Dbos];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Holdfast => "Holdfast",
            Self::Queues => "Holdfast, queues only",
            Self::Floor => "floor",
            Self::Go => "Go SDK",
            Self::Python => "Python SDK",
            Self::Restate => "Restate",
            Self::Dbos => "DBOS",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|candidate| format!("{candidate:?}").eq_ignore_ascii_case(name))
    }

    /// Is it Holdfast?
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Holdfast | Self::Queues)
    }
}

/// A peer: its program, and its engine's where it brings one.
struct Peer {
    base: String,
    /// Where the engine is steered from: Restate's own.
    admin: String,
    folder: PathBuf,
    logs: PathBuf,
    environment: Vec<(String, String)>,
    engine: Option<RefCell<Program>>,
    program: RefCell<Program>,
}

/// Everything that is measured.
pub struct Field {
    pub stack: RefCell<Stack>,
    pub http: Http,
    pub api: String,
    pub librarian: String,
    pub member: String,
    pub temporal: Client,
    pub stages: Stages,
    peers: HashMap<Candidate, Peer>,
    /// Which road Holdfast is on.
    is_near: Cell<bool>,
    next_book: Cell<i64>,
}

/// A rental that is under way.
#[derive(Clone, Debug)]
pub struct Begun {
    pub id: String,
    pub book: i64,
}

impl Field {
    pub async fn start(folder: &Path, candidates: &[Candidate]) -> anyhow::Result<Self> {
        // Three people make all requests.
        let addresses = Addresses::free()?
            .with("HOLDFAST_REQUESTS_PER_SECOND_MAX", "1000000")
            .with("HOLDFAST_REQUESTS_BURST_MAX", "1000000")
            .with("HOLDFAST_REQUESTS_AT_ONCE_MAX", "10000")
            // As many charges as there are rentals.
            .with("HOLDFAST_PROVIDER_CALLS_PER_SECOND_MAX", "1000")
            // As where people use it. Tests look through all that is open every few seconds, and nobody could be measured beside that.
            .with("HOLDFAST_RECOVERY_SWEEP_SECONDS", "300")
            .with("HOLDFAST_RECOVERY_AGE_SECONDS", "60")
            .with("HOLDFAST_SHORT_ROAD", "true");
        let stack = Stack::start(folder, addresses, Part::TOGETHER, |part| eprintln!("starting {part}")).await?;
        let settings: HashMap<_, _> = stack.addresses.environment().into_iter().collect();
        let url = Url::parse(&format!("http://{}", settings["TEMPORAL_ADDRESS"]))?;
        // As ours.
        let options = ConnectionOptions::new(url).grpc_compression(GrpcCompression::None).build();
        let connection = Connection::connect(options).await?;
        let mut peers = HashMap::new();
        for candidate in candidates.iter().filter(|candidate| Candidate::PEERS.contains(candidate)) {
            eprintln!("starting {}", candidate.name());
            peers.insert(*candidate, Peer::start(*candidate, folder, &settings).await?);
        }
        Ok(Self {
            // Servers end idle connections after a while, and a request that meets that is lost.
            http: Http::builder().timeout(ANSWERED_WITHIN).pool_idle_timeout(IDLE_MAX).build()?,
            api: format!("http://{}", settings["HOLDFAST_HTTP"]),
            librarian: token(&stack.addresses, "librarian", "admin")?,
            member: token(&stack.addresses, "member", "member")?,
            temporal: Client::new(connection, ClientOptions::new(&settings["TEMPORAL_NAMESPACE"]).build())?,
            stages: Stages::default(),
            stack: RefCell::new(stack),
            peers,
            is_near: Cell::new(true),
            next_book: Cell::new(1),
        })
    }

    /// Has a candidate's turn come, the other peers hang, so that what they do by themselves is not in its way, and Holdfast is
    /// put on its road.
    #[expect(clippy::await_holding_refcell_ref, reason = "one thing at a time happens to the stack")]
    pub async fn prepare(&self, candidate: Candidate) -> anyhow::Result<()> {
        for (name, peer) in &self.peers {
            peer.let_run(*name == candidate);
        }
        let is_near = candidate != Candidate::Queues;
        if candidate.is_ours() && self.is_near.replace(is_near) != is_near {
            let mut stack = self.stack.borrow_mut();
            stack.stop(Part::Orchestrator);
            stack.addresses.also.insert("HOLDFAST_SHORT_ROAD".to_owned(), is_near.to_string());
            stack.run(Part::Orchestrator).await?;
        }
        Ok(())
    }

    /// What a candidate's processes have used. For the floor, `program` is this process, which also drives it.
    pub fn used(&self, candidate: Candidate) -> Used {
        let stack = self.stack.borrow();
        let (temporal, postgres) =
            (("Temporal", stack.usage(Part::Temporal)), ("Postgres", stack.usage(Part::Postgres)));
        match candidate {
            Candidate::Holdfast | Candidate::Queues => {
                let (ours, workers) = (stack.usage(Part::Orchestrator), stack.usage(Part::Workers));
                let program = dev::program::Usage {
                    cpu: ours.cpu + workers.cpu,
                    memory_bytes: ours.memory_bytes + workers.memory_bytes,
                };
                Used::from([temporal, postgres, ("program", program)])
            }
            Candidate::Floor => Used::from([temporal, ("program", usage_of(std::process::id()))]),
            Candidate::Go | Candidate::Python => {
                Used::from([temporal, postgres, ("program", self.peers[&candidate].usage())])
            }
            Candidate::Restate => {
                let peer = &self.peers[&candidate];
                let engine = peer.engine.as_ref().map(|engine| engine.borrow().usage()).unwrap_or_default();
                Used::from([("Restate server", engine), postgres, ("program", peer.usage())])
            }
            Candidate::Dbos => Used::from([postgres, ("program", self.peers[&candidate].usage())]),
        }
    }

    /// Waits until nothing is left to do of what was measured before.
    pub async fn calm(&self) -> anyhow::Result<()> {
        let until = Instant::now() + CALM_WITHIN;
        loop {
            let before = self.used(Candidate::Holdfast);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let used: f64 = cpu_ms_each(&before, &self.used(Candidate::Holdfast), 1).values().sum();
            if used < CALM_MS {
                return Ok(());
            }
            ensure!(Instant::now() < until, "it never becomes calm: {used:.0} ms of processor time in a second");
        }
    }

    /// Some books nobody has.
    pub async fn books(&self, candidate: Candidate, count: usize) -> anyhow::Result<Vec<i64>> {
        if !candidate.is_ours() {
            let first = self.next_book.get();
            let next = first + i64::try_from(count)?;
            ensure!(next <= PEER_BOOKS, "there are no more than {PEER_BOOKS} books");
            self.next_book.set(next);
            return Ok((first..next).collect());
        }
        self.listed(&BOOKS, count).await
    }

    /// The numbers of so many new items, all alike.
    pub async fn listed(&self, wares: &Wares, count: usize) -> anyhow::Result<Vec<i64>> {
        let made = dev::bench::load::closed(4, vec![(); count], async |()| {
            let made = self.ask(Method::POST, wares.list, &self.librarian, Some((wares.item)())).await?;
            made["id"].as_i64().context("an item without a number")
        });
        made.await.into_iter().map(|(_, number)| number).collect()
    }

    /// From request to held.
    pub async fn begin(&self, candidate: Candidate, book: i64) -> anyhow::Result<Begun> {
        self.begin_for(candidate, book, "member", None).await
    }

    /// The same, for a customer. A client of ours that wants the whole rental prefers to wait for its payment, and need not look
    /// for it.
    pub async fn begin_for(
        &self,
        candidate: Candidate,
        book: i64,
        customer: &str,
        prefer: Option<&str>,
    ) -> anyhow::Result<Begun> {
        let id = Uuid::now_v7().to_string();
        match candidate {
            Candidate::Holdfast | Candidate::Queues => {
                let token = if customer == "member" {
                    self.member.clone()
                } else {
                    token(&self.stack.borrow().addresses, customer, "member")?
                };
                let request = self.request(Method::POST, "/ebook/rents", &token).json(&json!({ "bookId": book }));
                let request = request.header("idempotency-key", &id);
                let rental =
                    answered(prefer.into_iter().fold(request, |request, wish| request.header("prefer", wish))).await?;
                let id = rental["id"].as_str().context("a rental without an id")?.to_owned();
                let begun = Begun { id, book };
                // Answered as accepted after a second: it is not held yet.
                if rental["stage"] == "requested" {
                    while self.stage(candidate, &begun).await? == "requested" {
                        tokio::time::sleep(LOOKED_AGAIN_AFTER).await;
                    }
                }
                return Ok(begun);
            }
            Candidate::Floor => floor::begin(&self.temporal, &self.stages, &id).await,
            Candidate::Restate => {
                let (base, order) = (&self.peers[&candidate].base, json!({ "book": book, "customer": customer }));
                answered(self.http.post(format!("{base}/rental/{id}/run/send")).json(&order)).await?;
                let held = answered(self.http.post(format!("{base}/rental/{id}/held"))).await?;
                ensure!(held == "held", "the rental is not held: {held}");
            }
            Candidate::Go | Candidate::Python | Candidate::Dbos => {
                let order = json!({ "id": id, "book": book, "customer": customer });
                answered(self.http.post(format!("{}/rentals", self.peers[&candidate].base)).json(&order)).await?;
            }
        }
        Ok(Begun { id, book })
    }

    /// From held to returned.
    pub async fn finish(&self, candidate: Candidate, begun: &Begun) -> anyhow::Result<()> {
        if candidate == Candidate::Floor {
            floor::finish(&self.temporal, &self.stages, &begun.id).await;
            return Ok(());
        }
        self.until(candidate, begun, "paid").await?;
        self.act(candidate, begun, "approve").await?;
        // Whoever reads it brings it back when they see that they may.
        if !candidate.is_ours() {
            self.until(candidate, begun, "approved").await?;
        }
        self.act(candidate, begun, "return").await?;
        self.until(candidate, begun, "returned").await
    }

    /// Somebody approves, rejects or returns.
    pub async fn act(&self, candidate: Candidate, Begun { id, book }: &Begun, act: &str) -> anyhow::Result<()> {
        match candidate {
            Candidate::Holdfast | Candidate::Queues => {
                let (path, token) = match act {
                    "return" => (format!("/ebook/rents/return/{id}"), &self.member),
                    _ => (format!("/ebook/books/{act}/{book}"), &self.librarian),
                };
                self.ask(Method::PATCH, &path, token, None).await?;
            }
            Candidate::Restate => {
                let url = format!("{}/rental/{id}/act", self.peers[&candidate].base);
                answered(self.http.post(url).json(&json!(act))).await?;
            }
            _ => {
                let url = format!("{}/rentals/{id}/{act}", self.peers[&candidate].base);
                answered(self.http.post(url)).await?;
            }
        }
        Ok(())
    }

    /// Where a rental is, as its dashboard says.
    pub async fn stage(&self, candidate: Candidate, Begun { id, .. }: &Begun) -> anyhow::Result<String> {
        let shown = match candidate {
            Candidate::Holdfast | Candidate::Queues => {
                self.ask(Method::GET, &format!("/ebook/rents/{id}"), &self.librarian, None).await?["stage"].take()
            }
            Candidate::Restate => {
                let url = format!("{}/board/stage", self.peers[&candidate].base);
                answered(self.http.post(url).json(&json!(id))).await?
            }
            _ => {
                answered(self.http.get(format!("{}/rentals/{id}", self.peers[&candidate].base))).await?["stage"].take()
            }
        };
        Ok(shown.as_str().unwrap_or_default().to_owned())
    }

    pub async fn until(&self, candidate: Candidate, begun: &Begun, stage: &str) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let shown = self.stage(candidate, begun).await?;
            if shown == stage {
                return Ok(());
            }
            ensure!(
                since.elapsed() < ANSWERED_WITHIN,
                "{}: {} is {shown}, and not {stage}",
                candidate.name(),
                begun.id
            );
            // Who looks often takes from those who work, and who looks seldom sees it late: a tenth of the time it takes.
            tokio::time::sleep(LOOKED_AGAIN_AFTER.max(since.elapsed() / 10)).await;
        }
    }

    /// The payment provider of all.
    pub fn simulator(&self) -> String {
        self.stack.borrow().addresses.environment()["HOLDFAST_SIMULATOR_URL"].clone()
    }

    /// Ends what runs a candidate's rentals as a crash would, and starts it again.
    #[expect(clippy::await_holding_refcell_ref, reason = "one thing at a time happens to the stack")]
    pub async fn kill_and_restart(&self, candidate: Candidate) -> anyhow::Result<()> {
        if candidate.is_ours() {
            let mut stack = self.stack.borrow_mut();
            for part in [Part::Workers, Part::Orchestrator] {
                stack.kill(part);
            }
            for part in [Part::Workers, Part::Orchestrator] {
                stack.run(part).await?;
            }
            return Ok(());
        }
        let peer = &self.peers[&candidate];
        peer.program.borrow_mut().kill();
        peer.program.replace(run(candidate, &peer.folder, &peer.logs, &peer.environment)?);
        peer.ready().await
    }

    /// Ends a rental's workflow in its engine, with nobody asked.
    pub async fn terminate(&self, candidate: Candidate, Begun { id, .. }: &Begun) -> anyhow::Result<()> {
        match candidate {
            Candidate::Restate => {
                let admin = &self.peers[&candidate].admin;
                let query = format!(
                    "select id from sys_invocation where target_service_key = '{id}' and target_handler_name = 'run'"
                );
                let found = self.http.post(format!("{admin}/query")).header("accept", "application/json");
                let found = answered(found.json(&json!({ "query": query }))).await?;
                let invocation = found["rows"][0]["id"].as_str().with_context(|| format!("no invocation: {found}"))?;
                answered(self.http.patch(format!("{admin}/invocations/{invocation}/kill"))).await?;
            }
            Candidate::Dbos => {
                let peer = &self.peers[&candidate];
                let script = "import os, sys\nfrom dbos import DBOSClient\n\
                    DBOSClient(system_database_url=os.environ['PEER_DATABASE_URL']).cancel_workflow(sys.argv[1])";
                let mut python = Command::new(tools().join("python/bin/python"));
                let done = python.args(["-c", script, id]).envs(peer.environment.iter().cloned()).output()?;
                ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            }
            _ => {
                let system = match candidate {
                    Candidate::Go => "go",
                    Candidate::Python => "python",
                    _ => "ebook",
                };
                let saga = self.temporal.get_workflow_handle::<UntypedWorkflow>(format!("{system}/{id}"));
                saga.terminate(WorkflowTerminateOptions::default()).await?;
            }
        }
        Ok(())
    }

    /// Asks Holdfast.
    pub async fn ask(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let request = self.request(method, path, token);
        answered(body.into_iter().fold(request, |request, body| request.json(&body))).await
    }

    pub fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.api)).bearer_auth(token)
    }
}

impl Peer {
    async fn start(candidate: Candidate, state: &Path, settings: &HashMap<String, String>) -> anyhow::Result<Self> {
        let name = format!("{candidate:?}").to_lowercase();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/peers");
        let logs = state.join("logs");
        let database = peer_database(&name, &folder, &settings["HOLDFAST_ADMIN_DATABASE_URL"]).await?;
        let port = || Ok::<_, std::io::Error>(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (own, ingress, admin) = (port()?, port()?, port()?);
        let mut environment: Vec<(String, String)> = settings.clone().into_iter().collect();
        environment.push(("PEER_DATABASE_URL".to_owned(), database));
        environment.push(("PEER_PORT".to_owned(), own.to_string()));
        let engine = match candidate {
            Candidate::Restate => Some(RefCell::new(restate(state, &logs, ingress, admin).await?)),
            _ => None,
        };
        let program = RefCell::new(run(candidate, &folder, &logs, &environment)?);
        let base = format!("http://127.0.0.1:{}", if engine.is_some() { ingress } else { own });
        let peer =
            Self { base, admin: format!("http://127.0.0.1:{admin}"), folder, logs, environment, engine, program };
        peer.ready().await?;
        if peer.engine.is_some() {
            let url = format!("{}/deployments", peer.admin);
            let body = json!({ "uri": format!("http://127.0.0.1:{own}") });
            answered(Http::new().post(url).json(&body)).await?;
        }
        Ok(peer)
    }

    /// Waits until its port is open.
    #[expect(clippy::await_holding_refcell_ref, reason = "nobody else starts it")]
    async fn ready(&self) -> anyhow::Result<()> {
        let port = self
            .environment
            .iter()
            .find(|(name, _)| name == "PEER_PORT")
            .map(|(_, port)| port.as_str())
            .unwrap_or_default();
        let address = format!("127.0.0.1:{port}");
        let is_open = async || tokio::net::TcpStream::connect(&address).await.is_ok();
        self.program.borrow_mut().ready(STARTS_WITHIN, is_open).await
    }

    fn usage(&self) -> dev::program::Usage {
        self.program.borrow().usage()
    }

    /// Lets it run, or hang.
    fn let_run(&self, runs: bool) {
        let turn = if runs { Program::go_on } else { Program::hang };
        for program in self.engine.iter().chain([&self.program]) {
            turn(&mut program.borrow_mut());
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // What hangs does not end when it is asked to.
        self.let_run(true);
    }
}

/// Where `tools/setup bench` has put the peers.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/peers")
}

fn run(candidate: Candidate, folder: &Path, logs: &Path, environment: &[(String, String)]) -> anyhow::Result<Program> {
    let tools = tools();
    let (name, mut command) = match candidate {
        Candidate::Go => ("go", Command::new(tools.join("go"))),
        Candidate::Restate => {
            let mut command = Command::new(tools.join("restate/node"));
            command.arg(tools.join("restate/rental.js"));
            ("restate-program", command)
        }
        _ => {
            let story = if candidate == Candidate::Dbos { "on_dbos.py" } else { "on_temporal.py" };
            let mut command = Command::new(tools.join("python/bin/python"));
            command.arg(folder.join("python").join(story));
            (if candidate == Candidate::Dbos { "dbos" } else { "python" }, command)
        }
    };
    command.envs(environment.iter().cloned());
    Program::start(name, command, logs, Signal::SIGTERM)
}

/// Restate's server, as its quickstart starts it.
async fn restate(state: &Path, logs: &Path, ingress: u16, admin: u16) -> anyhow::Result<Program> {
    let mut command = Command::new(tools().join("restate/restate-server"));
    command.arg("--base-dir").arg(state.join("restate-data"));
    command.env("RESTATE_INGRESS__BIND_ADDRESS", format!("127.0.0.1:{ingress}"));
    command.env("RESTATE_ADMIN__BIND_ADDRESS", format!("127.0.0.1:{admin}"));
    command.env("RESTATE_BIND_ADDRESS", "127.0.0.1:0");
    let mut program = Program::start("restate", command, logs, Signal::SIGTERM)?;
    let url = format!("http://127.0.0.1:{admin}/health");
    let is_ready = async || Http::new().get(&url).send().await.is_ok_and(|answer| answer.status().is_success());
    program.ready(STARTS_WITHIN, is_ready).await?;
    Ok(program)
}

/// A database for a peer, with its tables. Gives back its address.
async fn peer_database(name: &str, folder: &Path, admin: &str) -> anyhow::Result<String> {
    let own = admin.rsplit_once('/').map(|(server, _)| format!("{server}/peer_{name}")).context("an address")?;
    execute(admin, &format!("create database peer_{name}")).await?;
    execute(&own, &std::fs::read_to_string(folder.join("tables.sql"))?).await?;
    Ok(own)
}

/// Executes something in a database.
pub async fn execute(url: &str, sql: &str) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let (done, closed) = tokio::join!(
        async {
            let done = client.batch_execute(sql).await;
            drop(client);
            done
        },
        connection
    );
    done?;
    Ok(closed?)
}

/// Asks as clients do: what is not known in time is asked again.
pub async fn answered(request: RequestBuilder) -> anyhow::Result<Value> {
    let until = Instant::now() + ANSWERED_WITHIN;
    loop {
        let response: Response = request.try_clone().context("a request that can be repeated")?.send().await?;
        let status = response.status();
        let text = response.text().await?;
        if status.is_success() {
            return Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? });
        }
        // A peer that is overrun fails in its own ways: whoever rents there asks again.
        ensure!(status.is_server_error() && Instant::now() < until, "{status} {text}");
        tokio::time::sleep(ASKED_AGAIN_AFTER).await;
    }
}
