//! Dashboards and alerts: every query of every panel and every condition of every alert returns data from a real Prometheus that
//! scrapes the running system, with the configuration that is shipped; and the names of our metrics are the ones that are promised.

use crate::world::World;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const SHIPPED: &str = include_str!("../../../grafana/prometheus.yml");
const RULES: &str = include_str!("../../../grafana/alerts.yml");
const METRICS: &str = include_str!("../../../grafana/README.md");
const RUNBOOK: &str = include_str!("../../../docs/operations.md");
/// Where each process says what it counts.
const ADMINS: [&str; 5] = [
    "HOLDFAST_ADMIN",
    "HOLDFAST_CATALOG_ADMIN",
    "HOLDFAST_PAYMENT_ADMIN",
    "HOLDFAST_NOTIFICATION_ADMIN",
    "HOLDFAST_FULFILMENT_ADMIN",
];

/// A Prometheus of this test's own. Ends with it.
struct Prometheus {
    process: Child,
    url: String,
    folder: PathBuf,
}

impl Prometheus {
    fn start(world: &World) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("holdfast-prometheus-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut config = SHIPPED.replace("scrape_interval: 5s", "scrape_interval: 1s");
        for (shipped, here) in [
            ("orchestrator:8190", "HOLDFAST_ADMIN"),
            ("catalog:8191", "HOLDFAST_CATALOG_ADMIN"),
            ("payment:8192", "HOLDFAST_PAYMENT_ADMIN"),
            ("notification:8193", "HOLDFAST_NOTIFICATION_ADMIN"),
            ("fulfilment:8194", "HOLDFAST_FULFILMENT_ADMIN"),
        ] {
            assert!(config.contains(shipped), "{shipped} is not scraped");
            config = config.replace(shipped, world.setting(here));
        }
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        std::fs::write(folder.join("alerts.yml"), RULES.replace("interval: 15s", "interval: 1s")).unwrap();
        let process = Command::new(program("prometheus"))
            .arg(format!("--config.file={}/prometheus.yml", folder.display()))
            .arg(format!("--storage.tsdb.path={}/data", folder.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Prometheus: run the tests with `make test`");
        Self { process, url: format!("http://127.0.0.1:{port}/api/v1/query"), folder }
    }

    /// Does a query return a number?
    async fn answers(&self, query: &str) -> bool {
        let answer = reqwest::Client::new().get(&self.url).query(&[("query", query)]).send().await;
        let Ok(answer) = answer else { return false };
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let series = answer["data"]["result"].as_array().unwrap();
        series.iter().any(|one| one["value"][1].as_str().is_some_and(|value| value != "NaN"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let tools = here.ancestors().map(|folder| folder.join("tools/prometheus/usr/bin").join(name));
    tools.into_iter().find(|path| path.exists()).unwrap_or_else(|| Path::new(name).to_owned())
}

/// Runs `promtool`, which has to be content.
fn promtool(arguments: &[&str], given: &str) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../grafana"));
    let mut process = Command::new(program("promtool"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: run the tests with `make test`");
    process.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let said = process.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.status.success(), "promtool {arguments:?}: {text}");
}

/// Every query of every shipped dashboard, with its panel.
fn queries() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../grafana/dashboards");
    let mut queries = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let dashboard: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                queries.push((text(&panel["title"]), text(&target["expr"])));
            }
        }
    }
    queries
}

/// The names that follow a word at the beginning of a line of the rules.
fn rules(word: &str) -> Vec<String> {
    let named = |line: &'static str| line.trim().trim_start_matches("- ").strip_prefix(word)?.strip_prefix(": ");
    RULES.lines().filter_map(named).map(str::to_owned).collect()
}

/// What an alert looks at is recorded by name, so that it can be seen to be there.
#[test]
fn alerts_fire_when_they_should_and_each_says_what_to_do() {
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts.test.yml"], "");
    let alerts = rules("alert");
    assert!(alerts.len() >= 6, "{alerts:?}");
    let tested = include_str!("../../../grafana/alerts.test.yml");
    for alert in &alerts {
        assert!(tested.contains(&format!("alertname: {alert}\n")), "{alert} is never seen to fire");
        assert!(tested.contains(&format!("alertname: {alert}, exp_alerts: []")), "{alert} is never seen not to fire");
        assert!(RUNBOOK.contains(&format!("### {alert}\n")), "{alert} has no paragraph in docs/operations.md");
        assert!(
            RULES.contains(&format!("docs/operations.md#{}\n", alert.to_lowercase())),
            "{alert} does not say where"
        );
    }
    let described = RUNBOOK.lines().filter(|line| line.starts_with("### ")).count();
    assert_eq!(described, alerts.len(), "docs/operations.md describes alerts that are none");
    let raw = RULES.split("- name: holdfast-alerts").nth(1).unwrap();
    let conditions = raw.lines().filter(|line| line.trim().starts_with("expr:"));
    for condition in conditions {
        assert!(!condition.contains("holdfast_"), "{condition}: its measure has no name of its own");
    }
}

#[tokio::test]
async fn every_query_of_every_dashboard_returns_data() {
    let world = World::new();
    let prometheus = Prometheus::start(&world);
    let mut queries = queries();
    assert!(queries.len() >= 30, "{queries:?}");
    queries.extend(rules("record").into_iter().map(|name| ("alerts".to_owned(), name)));

    let silent = async || {
        play(&world).await;
        let mut silent = Vec::new();
        for (panel, query) in &queries {
            if !prometheus.answers(query).await {
                silent.push((panel, query));
            }
        }
        silent
    };
    world.eventually("all answered", silent, Vec::is_empty).await;
}

/// One rental that is approved, one that is rejected, one that is refused; and a parcel, for its points.
async fn play(world: &World) {
    let parcel = world.post(&world.member, "/parcel/requests", json!({ "memberId": "100", "qty": 1 })).await;
    let parcel = parcel.assert_status(201).id();
    world.at_stage(&parcel, "paid").await;
    let finish = json!({ "courierName": "Lee", "location": "Seoul", "status": "Finish" });
    world.put(&world.courier, &format!("/parcel/deliveries/{parcel}"), finish).await.assert_status(200);
    let book = world.book().await;
    let rental = world.lent(book).await;
    world
        .post(&world.member, "/ebook/rents", json!({ "bookId": book }))
        .await
        .assert_problem(409, "book_already_rented");
    world.bring_back(&rental).await.assert_status(200);
    let book = world.book().await;
    world.paid(book).await;
    world.reject(book).await;
}

/// The names are part of what operators rely on.
#[tokio::test]
async fn every_process_serves_health_and_metrics_with_labels_that_are_bounded() {
    let world = World::new();
    play(&world).await;
    for admin in ADMINS {
        let get = async |path: &str| reqwest::get(format!("http://{}{path}", world.setting(admin))).await.unwrap();
        assert_eq!(get("/health/live").await.status(), 200);
        assert_eq!(get("/health/ready").await.status(), 200);
        let metrics = get("/metrics").await.text().await.unwrap();
        for name in ["holdfast_build_info", "temporal_num_pollers"] {
            assert!(metrics.contains(name), "{admin} serves no {name}");
        }
        assert!(!metrics.contains(&world.member.subject), "{admin} names a customer");
    }
}

/// Our metrics as the table in `grafana/README.md` promises them: name, kind and labels.
fn promised() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    let rows =
        METRICS.lines().map(cells).filter(|cells| cells.get(1).is_some_and(|name| name.starts_with("`holdfast_")));
    rows.map(|cells| {
        let labels = cells[3].split(", ").filter(|label| !label.is_empty()).map(str::to_owned);
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels.collect()))
    })
    .collect()
}

/// What operators build on: a name, kind or label that changes is a change for them.
#[tokio::test]
async fn our_metrics_are_named_as_promised_and_well_formed() {
    let world = World::new();
    let promised = promised();
    assert!(promised.len() > 20, "{promised:?}");
    let mut served: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for admin in ADMINS {
        let url = format!("http://{}/metrics", world.setting(admin));
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let ours: String = text.split_inclusive('\n').filter(|line| line.contains("holdfast_")).collect();
        promtool(&["check", "metrics"], &ours);
        let kinds = ours.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        for (name, kind) in kinds {
            served.entry(name.to_owned()).or_default().0 = kind.to_owned();
        }
        for line in ours.lines().filter(|line| !line.starts_with('#')) {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let labels = rest.split_once('}').map_or("", |(labels, _)| labels);
            let labels = labels.split("\",").filter_map(|pair| pair.split_once('=')).map(|(label, _)| label.to_owned());
            served.get_mut(name).unwrap().1.extend(labels.filter(|label| label != "le"));
        }
    }
    for (name, what) in &served {
        assert_eq!(promised.get(name), Some(what), "{name} is not what grafana/README.md says");
    }
    // Those that count what has not happened here are not served yet.
    let common =
        ["holdfast_bookings", "holdfast_stuck", "holdfast_ledger_difference_minor", "holdfast_board_lag_seconds"];
    for name in common {
        assert!(served.contains_key(name), "{name} is not served");
    }
}
