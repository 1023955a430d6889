//! The contract: whatever any test is answered has to be what the published document says. And what the document says has to
//! have been answered to some test.

use crate::world::{Reply, World};
use jsonschema::Validator;
use orchestrator::gateway::{BEGUN, Gives, HELD, Route, SEEN as SEEN_OF, TOLD, openapi, problem::Code, routes};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    sync::{LazyLock, Mutex},
};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(openapi()).unwrap());
static VALIDATORS: LazyLock<Mutex<HashMap<String, Validator>>> = LazyLock::new(Mutex::default);
static SEEN: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// Where the suites of a run write down what they were answered.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("answers")
}

/// The route of a path.
fn route(method: &Method, path: &str) -> Option<&'static Route> {
    let fits = |shape: &str| {
        let (shape, path): (Vec<_>, Vec<_>) = (shape.split('/').collect(), path.split('/').collect());
        shape.len() == path.len()
            && shape.iter().zip(&path).all(|(part, here)| part == here || part.starts_with('{') && !here.is_empty())
    };
    routes().find(|route| route.method.as_str() == method.as_str() && fits(route.path))
}

/// Holds an answer against the document.
#[track_caller]
pub fn hold(method: &Method, path: &str, reply: &Reply) {
    let Some(route) = route(method, path) else {
        // Pages are for people.
        let page = ["/", "/docs", "/openapi.json"].contains(&path)
            || ["/console", "/assets"].iter().any(|at| path.starts_with(at));
        assert!(page || !reply.status.is_success(), "{method} {path} is not documented");
        return;
    };
    let status = reply.status.as_u16();
    let code = reply.body["code"].as_str().filter(|_| status >= 400).unwrap_or_default();
    note(&format!("{method} {} {status} {code}", route.path));
    let at = ["paths", route.path, &method.as_str().to_lowercase(), "responses", &status.to_string()];
    let response = at.iter().try_fold(&*DOCUMENT, |value, name| value.get(name));
    let response = response.unwrap_or_else(|| panic!("{method} {} may not answer {status}: {reply:?}", route.path));
    let kind = reply.headers.get("content-type").map(|kind| kind.to_str().unwrap());
    let Some(kind) = kind else {
        assert!(response["content"].is_null(), "{method} {}: no content in {reply:?}", route.path);
        return;
    };
    let schema = &response["content"][kind]["schema"];
    assert!(schema.is_object(), "{method} {} may not answer {status} as {kind}: {reply:?}", route.path);
    if let Err(why) = fits(schema, &reply.body) {
        panic!("{method} {} {status} is not as documented: {why}\n{:#}", route.path, reply.body);
    }
}

fn fits(schema: &Value, body: &Value) -> Result<(), String> {
    let mut validators = VALIDATORS.lock().unwrap();
    let validator = validators.entry(schema.to_string()).or_insert_with(|| {
        let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
        jsonschema::options().should_validate_formats(true).build(&whole).unwrap()
    });
    let problems: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn note(line: &str) {
    if !SEEN.lock().unwrap().insert(line.to_owned()) {
        return;
    }
    fs::create_dir_all(folder()).unwrap();
    let file = folder().join(std::process::id().to_string());
    writeln!(OpenOptions::new().create(true).append(true).open(file).unwrap(), "{line}").unwrap();
}

#[tokio::test]
async fn the_document_is_served_to_anybody_and_is_the_one_that_answers_are_held_against() {
    let world = World::new();
    let served = world.send(world.request(Method::GET, "/openapi.json")).await.assert_status(200);
    assert_eq!(served.body, *DOCUMENT);
    assert_eq!(served.body["openapi"], "3.1.0");
    let page = world.send(world.request(Method::GET, "/docs")).await.assert_status(200);
    let page = page.body.as_str().unwrap().to_owned();
    for route in routes() {
        assert!(page.contains(route.path), "{} is not on the page", route.path);
    }
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "the page asks another host");
}

/// Every route says what it is for, and every example is one that its own schema takes.
#[test]
fn every_route_is_described_and_its_examples_fit() {
    let mut ids = BTreeSet::new();
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}: its id is another's");
            assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{name}");
            let body = &operation["requestBody"]["content"]["application/json"];
            let answers = operation["responses"].as_object().unwrap().values();
            let answers = answers.map(|answer| &answer["content"]["application/json"]);
            for content in answers.chain([body]).filter(|content| content["example"].is_object()) {
                if let Err(why) = fits(&content["schema"], &content["example"]) {
                    panic!("{name}: its example does not fit: {why}\n{:#}", content["example"]);
                }
            }
        }
    }
    assert_eq!(ids.len(), routes().count());
}

/// Seen by tests that do not come in by a documented path, or look at the bytes; and within the answer for many bookings.
/// That a saga hears no more moves than it can takes a thousand of them: the saga kit's own tests show it.
const ELSEWHERE: &[Code] =
    &[Code::MethodNotAllowed, Code::NoSuchPath, Code::SlowBody, Code::NotSaid, Code::TooManyMoves];

/// What the document says is answered, beside what any route may be refused for. Run when all suites have run: `make test`.
#[test]
#[ignore = "looks at what all suites were answered: the last step of `make test`"]
fn everything_documented_was_answered_to_some_test() {
    let files = fs::read_dir(folder()).expect("no suite has run").map(|file| file.unwrap().path());
    let seen: BTreeSet<String> = files
        .flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut missing = Vec::new();
    for route in routes() {
        let start = format!("{} {}", route.method, route.path);
        let usual = route.statuses.first().filter(|_| !matches!(route.gives, Gives::Events(_)));
        if let Some(status) = usual
            && !seen.contains(&format!("{start} {status} "))
        {
            missing.push(format!("{start} {status}"));
        }
        // What many routes refuse in the same place of the code has to be seen of one of them, the rest of this one.
        let shared = |codes: &[Code]| [BEGUN, HELD, SEEN_OF, TOLD].contains(&codes);
        let own = route.refuses.iter().copied().filter(|codes| !shared(codes)).flatten();
        for code in own.filter(|code| !ELSEWHERE.contains(code)) {
            let line = format!("{start} {} {}", code.status().as_u16(), code.text());
            if !seen.contains(&line) {
                missing.push(line);
            }
        }
    }
    for code in Code::ALL {
        let line = format!(" {} {}", code.status().as_u16(), code.text());
        if !seen.iter().any(|seen| seen.ends_with(&line)) && !ELSEWHERE.contains(code) {
            missing.push(format!("anything{line}"));
        }
    }
    assert!(missing.is_empty(), "{} documented answers were never seen:\n{}", missing.len(), missing.join("\n"));
}
