//! A stack of a test's own, whose parts can be stopped.

use dev::{
    addresses::Addresses,
    stack::{Part, Stack},
};
use std::path::PathBuf;

/// A running stack, usually with each worker in a process of its own. Its folder goes with it, unless the test fails.
pub struct OwnStack {
    pub stack: Stack,
    pub folder: PathBuf,
}

impl OwnStack {
    pub async fn start() -> Self {
        Self::of(Part::APART).await
    }

    pub async fn of(parts: &[Part]) -> Self {
        Self::with(parts, |addresses| addresses).await
    }

    /// One that answers as soon as it is meant to, however busy this machine is. Others may take their time, and their tests need not
    /// say what else could be answered.
    pub async fn prompt(parts: &[Part]) -> Self {
        Self::with(parts, |usual| usual.with("HOLDFAST_ANSWER_SECONDS", "1")).await
    }

    /// One whose settings are not the usual ones.
    pub async fn with(parts: &[Part], settings: impl FnOnce(Addresses) -> Addresses) -> Self {
        // Tests ask more often than people do.
        let usual = Addresses::free().unwrap();
        let usual = usual
            .with("HOLDFAST_REQUESTS_PER_SECOND_MAX", "10000")
            .with("HOLDFAST_REQUESTS_AT_ONCE_MAX", "1000")
            .with("HOLDFAST_ANSWER_SECONDS", "5");
        let addresses = settings(usual);
        let folder = std::env::temp_dir().join(format!("holdfast-own-{}", addresses.postgres));
        let stack = Stack::start(&folder, addresses, parts, |_| {}).await.unwrap();
        Self { stack, folder }
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        self.stack.end();
        if std::thread::panicking() {
            eprintln!("the logs are in {}/logs", self.folder.display());
        } else {
            std::fs::remove_dir_all(&self.folder).unwrap();
        }
    }
}
