//! `genesis backup`, `genesis restore`

use std::fs;

use genesis_store::Secret;

use super::sandbox::{NOON, Sandbox, mode, record};

#[test]
fn a_backup_brings_everything_back() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("all.backup");
    let file = file.to_str().unwrap();
    sandbox.genesis(&["backup", file]).fails(1, &["nothing to back up yet"]);
    sandbox.genesis(&["restore", file]).fails(1, &["no file"]);
    sandbox.log([(record(1), None), (record(2), None)]);
    sandbox.store().set_key("openai", "default", None, &Secret::from("sk-0123456789abcdef"), NOON).unwrap();

    let ran = sandbox.genesis(&["backup", file]).ok().says(&["bytes", "this store's master key only"]);
    assert_eq!(mode(file.as_ref()), 0o600);
    sandbox.genesis(&["backup", file]).fails(1, &["exists already"]);
    sandbox.genesis(&["restore", file]).fails(1, &["exists already", "--force", "stop the gateway"]);

    sandbox.log([(record(3), None)]);
    sandbox.genesis(&["restore", file, "--force"]).ok().says(&["moved aside", "restored what was saved at"]);
    assert_eq!(sandbox.genesis(&["logs", "--json"]).ok().stdout.lines().count(), 2);
    assert_eq!(sandbox.store().open_keys().unwrap().len(), 1);

    // On another machine, without the master key and with it.
    fs::rename(sandbox.home(), sandbox.path("old")).unwrap();
    let bare = sandbox.genesis(&["restore", file]).ok().says(&["do not open", "master"]);
    assert_eq!(sandbox.genesis(&["logs", "--json"]).ok().stdout.lines().count(), 2);
    sandbox.assert_nowhere("sk-0123456789abcdef", &[&ran, &bare]);
    fs::remove_dir_all(sandbox.home()).unwrap();
    fs::rename(sandbox.path("old"), sandbox.home()).unwrap();
    let full = sandbox.path("full.backup");
    let full = full.to_str().unwrap();
    sandbox.genesis(&["backup", full, "--with-master-key"]).ok().says(&["holds the master key"]);
    fs::remove_dir_all(sandbox.home()).unwrap();
    sandbox.genesis(&["restore", full]).ok();
    assert_eq!(sandbox.store().open_keys().unwrap().len(), 1);

    fs::write(sandbox.path("no.backup"), "something else").unwrap();
    let no = sandbox.path("no.backup");
    sandbox.genesis(&["restore", no.to_str().unwrap(), "--force"]).fails(1, &["no backup of Genesis"]);
}
