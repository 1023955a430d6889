//! Contracts: what is published for workers in other languages is what the sagas speak.

#![expect(clippy::disallowed_methods, reason = "a test writes what is published")]

use std::{collections::BTreeSet, fs, path::Path};
use workflows::contracts::described::described;

/// A change of a contract is a change for everybody who keeps it: it shows in `git diff`, and fails until it is looked at.
#[test]
fn the_published_schemas_are_those_of_the_contracts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/contracts");
    fs::create_dir_all(&folder).unwrap();
    let mut changed = Vec::new();
    let mut names = BTreeSet::from(["README.md".to_owned()]);
    for (activity, described) in described() {
        let name = format!("{activity}.json");
        let text = format!("{described:#}\n");
        assert!(described["about"].is_string(), "{activity} does not say what it promises");
        if fs::read_to_string(folder.join(&name)).ok().as_deref() != Some(&text) {
            fs::write(folder.join(&name), text).unwrap();
            changed.push(name.clone());
        }
        names.insert(name);
    }
    let there: BTreeSet<_> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, names, "docs/contracts holds something that is no contract");
    assert!(changed.is_empty(), "written anew, see `git diff docs/contracts`: {changed:?}");
}
