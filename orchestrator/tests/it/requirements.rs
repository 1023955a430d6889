//! Every requirement has a test that cites it, or a reason why none can; every id that is cited is a requirement.
//!
//! The table is kept in `docs/traceability.md`: this test writes it anew, and fails when that changes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const TESTS: &[&str] = &["orchestrator/tests/it", "workers/tests/it", "workers/src", "workflows/tests/it"];
const KINDS: &[&str] = &[
    "EB-F", "EB-N", "EB-W", "RS-F", "RS-N", "RS-W", "CN-F", "CN-N", "CN-W", "MT-F", "MT-N", "MT-W", "HS-F", "HS-N",
    "HS-W", "TK-N", "INV-", "P", "X",
];

/// Ids in some text, with those between `RS-F1 to RS-F3`.
fn ids(text: &str) -> BTreeSet<(usize, u32)> {
    let mut found = BTreeSet::new();
    let mut before: Option<(usize, u32)> = None;
    let mut range = false;
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter(|word| !word.is_empty()) {
        // `EB-F1, F2`: what follows belongs to the same system.
        let short = before.filter(|_| word.starts_with(['F', 'N', 'W']));
        let word = short
            .map_or_else(|| word.to_owned(), |(kind, _)| format!("{}{word}", &KINDS[kind][..KINDS[kind].len() - 1]));
        let of = |(kind, prefix): (usize, &&str)| Some((kind, word.strip_prefix(prefix)?.parse().ok()?));
        let id = KINDS.iter().enumerate().find_map(of);
        if let Some((kind, number)) = id {
            match before {
                Some((first, from)) if range && first == kind => {
                    found.extend((from..=number).map(|number| (kind, number)));
                }
                _ => {
                    found.insert((kind, number));
                }
            }
            before = id;
        }
        range = word == "to" && before.is_some();
        if id.is_none() && !range {
            before = None;
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Which tests cite which ids: the comment above a test, or above its file.
fn cited() -> BTreeMap<(usize, u32), BTreeSet<String>> {
    let mut cited: BTreeMap<(usize, u32), BTreeSet<String>> = BTreeMap::new();
    let mut files = Vec::new();
    for folder in TESTS {
        sources(&Path::new(ROOT).join(folder), &mut files);
    }
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut comment = String::new();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("//!") {
                for id in ids(words) {
                    cited.entry(id).or_default().insert(module.clone());
                }
            } else if let Some(words) = line.strip_prefix("//") {
                comment.push_str(words.trim_start_matches('/'));
            } else if line.ends_with("test]") {
                is_test = true;
            } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
                if is_test {
                    let name = format!("{module}::{}", rest.split('(').next().unwrap());
                    for id in ids(&comment) {
                        cited.entry(id).or_default().insert(name.clone());
                    }
                }
                comment.clear();
                is_test = false;
            } else if line.is_empty() {
                comment.clear();
            }
        }
    }
    cited
}

#[test]
fn every_requirement_is_shown_by_a_test_and_every_cited_id_is_one() {
    let listed = fs::read_to_string(Path::new(ROOT).join("docs/requirements.md")).unwrap();
    let cited = cited();
    let mut known = BTreeSet::new();
    let mut table = "# Which test shows which requirement\n\nWritten by `orchestrator/tests/it/requirements.rs` from \
        [requirements.md](requirements.md) and the comments above the tests.\n\n| id | where | tests |\n|---|---|---|\n"
        .to_owned();
    let mut missing = Vec::new();
    for line in listed.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let found = ids(cells[0]);
        let [id] = found.iter().copied().collect::<Vec<_>>()[..] else { continue };
        known.insert(id);
        let place = cells.get(2).copied().unwrap_or("-");
        let tests =
            cited.get(&id).map(|tests| tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>().join(", "));
        let explained = place.starts_with("by construction")
            || listed.contains(&format!("{}, ", cells[0]))
            || listed.contains(&format!("{} and ", cells[0]));
        if tests.is_none() && !explained {
            missing.push(cells[0].to_owned());
        }
        writeln!(table, "| {} | {place} | {} |", cells[0], tests.as_deref().unwrap_or("by construction")).unwrap();
    }
    let unknown: Vec<_> = cited
        .keys()
        .filter(|id| !known.contains(id))
        .map(|(kind, number)| format!("{}{number}", KINDS[*kind]))
        .collect();

    assert!(missing.is_empty(), "no test cites {missing:?}");
    assert!(unknown.is_empty(), "docs/requirements.md does not list {unknown:?}");
    let document = Path::new(ROOT).join("docs/traceability.md");
    let before = fs::read_to_string(&document).unwrap_or_default();
    fs::write(&document, &table).unwrap();
    assert!(before == table, "docs/traceability.md has changed: look at its difference, and keep it if it is right");
}
