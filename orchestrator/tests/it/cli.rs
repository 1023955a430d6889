//! The command line does what HTTP does: by asking a gateway, and by being one.

use crate::world::{Person, World};
use dev::stack::program;
use serde_json::Value;
use std::process::Output;
use tokio::process::Command;

pub struct Cli<'a> {
    pub world: &'a World,
    pub direct: bool,
}

impl Cli<'_> {
    pub async fn run(&self, who: &Person, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("holdfast").unwrap());
        command.args(arguments).env("HOLDFAST_TOKEN", &who.token).kill_on_drop(true);
        if self.direct {
            // No gateway is asked: there is none at this address.
            command.arg("--direct").envs(self.world.settings()).env("HOLDFAST_URL", "http://127.0.0.1:1");
        } else {
            command.env("HOLDFAST_URL", format!("http://{}", self.world.setting("HOLDFAST_HTTP")));
        }
        command.output().await.unwrap()
    }

    /// What it prints.
    pub async fn says(&self, who: &Person, arguments: &[&str]) -> String {
        let output = self.run(who, arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it is refused for.
    pub async fn refused(&self, who: &Person, arguments: &[&str]) -> String {
        let output = self.run(who, arguments).await;
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

async fn a_rental_from_a_terminal(direct: bool) {
    let world = World::new();
    let cli = Cli { world: &world, direct };
    let (member, librarian) = (&world.member, &world.librarian);
    let book = format!("bookId={}", world.book().await);

    let key = ["--key", "from-a-terminal"];
    let made = cli.says(member, &["book", "ebook", &book, key[0], key[1]]).await;
    let id = made.split_whitespace().next().unwrap().to_owned();
    let again = cli.says(member, &["book", "ebook", &book, key[0], key[1]]).await;
    assert!(again.starts_with(&id), "{again} is not {id}");
    world.at_stage(&id, "paid").await;
    let shown: Value = serde_json::from_str(&cli.says(member, &["show", &id]).await).unwrap();
    assert_eq!(shown["id"], id.as_str());
    assert!(cli.refused(member, &["decide", &id, "approve"]).await.contains("forbidden"));
    assert!(cli.says(librarian, &["decide", &id, "approve"]).await.contains("approved"));
    assert!(cli.refused(librarian, &["decide", &id, "reject", "because=late"]).await.contains("decided_otherwise"));
    assert!(cli.refused(member, &["cancel", &id]).await.contains("too_late"));
    cli.says(member, &["return", &id]).await;
    let story = cli.says(member, &["watch", &id]).await;
    let stages: Vec<&str> = story.lines().map(|line| line.split("  ").nth(3).unwrap()).collect();
    assert_eq!(stages, ["requested", "held", "paid", "approved", "returned"], "{story}");
    assert!(cli.says(member, &["explain", &id]).await.contains("It has ended: completed."));

    let other = cli.says(member, &["book", "parcel", "qty=1"]).await;
    let other = other.split_whitespace().next().unwrap();
    cli.says(member, &["cancel", other]).await;
    world.ended(other).await;
    assert!(cli.refused(member, &["book", "ebook", "bookId=none"]).await.contains("invalid_field"));
    assert!(cli.refused(member, &["book", "nothing"]).await.contains("invalid_field"));
}

#[tokio::test]
async fn a_rental_from_a_terminal_through_a_gateway() {
    a_rental_from_a_terminal(false).await;
}

#[tokio::test]
async fn a_rental_from_a_terminal_without_a_gateway() {
    a_rental_from_a_terminal(true).await;
}
