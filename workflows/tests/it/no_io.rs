//! The crate reaches nothing outside itself but through contracts. (`clippy.toml` bans the calls of the standard library.)

use std::{collections::BTreeSet, process::Command};

/// Crates that open sockets, files or databases, or read a clock for others.
const OUTSIDE: &[&str] = &[
    "deadpool-postgres",
    "hyper",
    "hyper-util",
    "mio",
    "reqwest",
    "rustls",
    "socket2",
    "temporalio-client",
    "temporalio-sdk",
    "temporalio-sdk-core",
    "tokio-postgres",
    "warp",
];

/// What the manifest may name. A new one earns a sentence in its commit.
const ALLOWED: &[&str] = &[
    "chrono",
    "futures-util",
    "iso_currency",
    "schemars",
    "serde",
    "serde_json",
    "temporalio-common-wasm",
    "temporalio-macros",
    "temporalio-protos",
    "temporalio-workflow",
    "thiserror",
    "uuid",
];

fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "holdfast-workflows", "--edges", "normal", "--prefix", "none"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_business_depends_on_nothing_that_does_io() {
    let all = tree(&[]);
    assert!(all.contains("temporalio-workflow"), "the tree was not read: {all:?}");

    let found: Vec<_> = OUTSIDE.iter().filter(|name| all.contains(**name)).collect();

    assert!(found.is_empty(), "workflows must not depend on {found:?}");
}

#[test]
fn the_business_names_only_the_dependencies_it_has_a_reason_for() {
    let mut direct = tree(&["--depth", "1"]);
    direct.remove("holdfast-workflows");

    assert_eq!(direct, ALLOWED.iter().map(|name| (*name).to_owned()).collect());
}
