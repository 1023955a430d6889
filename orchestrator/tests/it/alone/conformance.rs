//! Conformance: workers in any language. The kit finds nothing wrong with ours and with the example in Python, which then takes
//! over a queue; and of five that break the contract in one way each, it says which.

use super::own_stack::OwnStack;
use crate::world::World;
use dev::stack::{Part, program};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tokio::task::spawn_blocking;

/// How a worker is broken, and the promise it does not keep.
const BROKEN: [(&str, &[&str]); 5] = [
    (
        "forgetful",
        &[
            "a repeat is answered, and tells nothing again",
            "repeats at the same moment tell once",
            "a notice that comes after a later one is told too",
            "a repeat with other words is the same notice",
        ],
    ),
    ("hasty", &["repeats at the same moment tell once"]),
    (
        "one-track",
        &["another stage of the same booking is told too", "a notice that comes after a later one is told too"],
    ),
    ("strict", &["fields that are new are ignored"]),
    ("polite", &["input that makes no sense is an error"]),
];

/// A worker in Python. Ends with the test.
struct Python(Child);

impl Python {
    async fn start(own: &OwnStack, world: &World, arguments: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let file = std::env::temp_dir().join(format!("holdfast-{}-{}", own.stack.addresses.postgres, arguments.len()));
        let child = Command::new(python())
            .current_dir(&root)
            .args(arguments)
            .envs(own.stack.addresses.environment())
            .env("HOLDFAST_NOTIFICATION_FILE", &file)
            .env("HOLDFAST_EXAMPLE", root.join("examples/python-notification"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python: run the tests with `make test`");
        let address = world.setting("HOLDFAST_NOTIFICATION_HTTP").to_owned();
        let there = async || reqwest::get(format!("http://{address}/")).await.is_ok();
        world.eventually("the worker is there", there, |there| *there).await;
        Self(child)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn python() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let venv = here.ancestors().map(|folder| folder.join("tools/python/bin/python")).find(|path| path.exists());
    venv.unwrap_or_else(|| "python3".into())
}

/// Runs the kit as its user would: what it printed, and whether it was content.
async fn conformance(own: &OwnStack, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program("holdfast").unwrap());
    command.arg("conformance").args(arguments).envs(own.stack.addresses.environment()).stdin(Stdio::null());
    let done = spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(done.stdout).unwrap() + &String::from_utf8_lossy(&done.stderr);
    println!("{text}");
    (done.status.success(), text)
}

#[tokio::test]
async fn workers_in_any_language_are_put_to_the_test_and_one_in_python_takes_over() {
    let mut own = OwnStack::start().await;
    let world = World::at(&own.stack.addresses);
    let book = world.book().await;
    let item = format!("ebook/{book}");
    for arguments in
        [&["--queue", "notification"][..], &["--queue", "payment"], &["--queue", "catalog", "--item", &item]]
    {
        let (content, text) = conformance(&own, arguments).await;
        assert!(content, "{arguments:?}: {text}");
    }

    own.stack.kill(Part::Notification);
    for (fault, wrong) in BROKEN {
        let worker = Python::start(&own, &world, &["orchestrator/tests/it/broken/notification.py", fault]).await;
        let (content, text) = conformance(&own, &["--queue", "notification"]).await;
        drop(worker);
        let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("WRONG   ")).collect();
        assert!(!content && found == wrong, "{fault}: {text}");
    }

    let _worker = Python::start(&own, &world, &["examples/python-notification/worker.py"]).await;
    let (content, text) = conformance(&own, &["--queue", "notification"]).await;
    assert!(content, "{text}");
    let book = world.book().await;
    let rental = world.lent(book).await;
    world.bring_back(&rental).await.assert_status(200);
    world.ended(&rental).await;
    let stages = async || {
        let told = world.get(&world.member, &format!("/bookings/{rental}/messages")).await.assert_status(200).body;
        told["messages"].as_array().unwrap().iter().map(|message| message["stage"].clone()).collect::<Vec<_>>()
    };
    world.eventually("told", stages, |told| *told == ["paid", "approved", "returned"].map(|stage| json!(stage))).await;
}
