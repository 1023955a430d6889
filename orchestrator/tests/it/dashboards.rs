//! Dashboards: every query of every panel returns data from a real Prometheus that scrapes the running system, with the
//! scrape configuration that is shipped.

use crate::world::World;
use serde_json::{Value, json};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const SHIPPED: &str = include_str!("../../../grafana/prometheus.yml");

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
        let process = Command::new(program())
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

fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let tools = here.ancestors().map(|folder| folder.join("tools/prometheus/usr/bin/prometheus"));
    tools.into_iter().find(|path| path.exists()).unwrap_or_else(|| Path::new("prometheus").to_owned())
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

#[tokio::test]
async fn every_query_of_every_dashboard_returns_data() {
    let world = World::new();
    let prometheus = Prometheus::start(&world);
    let queries = queries();
    assert!(queries.len() >= 10, "{queries:?}");

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

/// One rental that is approved, one that is rejected, one that is refused.
async fn play(world: &World) {
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
    for admin in ["HOLDFAST_ADMIN", "HOLDFAST_CATALOG_ADMIN", "HOLDFAST_PAYMENT_ADMIN", "HOLDFAST_NOTIFICATION_ADMIN"] {
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
