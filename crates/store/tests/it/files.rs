//! Files: modes, migrations, damage, master key.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    time::Instant,
};

use genesis_store::health::{FileState, health};
use genesis_store::{ErrorKind, LogFilter, NewToken, Secret, Store, StoreOptions};
use rusqlite::Connection;
use secrecy::ExposeSecret;

use crate::support::{NOON, PATIENCE, Place, log_all, record};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn token(name: &str) -> NewToken {
    NewToken { name: name.into(), ..Default::default() }
}

#[test]
fn only_the_owner_can_read_what_the_store_creates() {
    let place = Place::new();
    let store = place.open();
    store.set_key("openai", "default", None, &Secret::from("sk-1"), NOON).unwrap();
    log_all(&store, [record(1)]);
    let folder = place.path().parent().unwrap().to_owned();
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
    }
    for name in ["genesis.db", "genesis-log.db", "master.key"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    for name in names {
        let bytes = fs::read(folder.join(&name)).unwrap();
        assert!(!bytes.windows(4).any(|window| window == b"sk-1"), "{name}");
    }
}

#[test]
fn damage_inside_a_file_is_found_without_opening_the_store() {
    let place = Place::new();
    assert!(health(&place.path(), PATIENCE).is_empty(), "there is nothing yet");
    log_all(&place.open(), (1..200).map(record));
    let sound = health(&place.path(), PATIENCE);
    assert_eq!(sound.iter().map(|file| &file.path).collect::<Vec<_>>(), [&place.path(), &place.log_path()]);
    assert!(sound.iter().all(|file| matches!(file.state, FileState::Sound)), "{sound:?}");

    // Into the database itself, so that only it is read.
    Connection::open(place.log_path()).unwrap().pragma_update(None, "journal_mode", "delete").unwrap();
    let file = fs::OpenOptions::new().write(true).open(place.log_path()).unwrap();
    let length = file.metadata().unwrap().len();
    for at in (8192..length).step_by(4096) {
        file.write_all_at(&[0xff; 64], at).unwrap();
    }
    let damaged = health(&place.path(), PATIENCE);
    assert!(matches!(damaged[0].state, FileState::Sound), "{damaged:?}");
    assert!(matches!(damaged[1].state, FileState::Damaged(_) | FileState::Unreadable(_)), "{damaged:?}");
}

#[test]
fn what_was_stored_is_there_after_reopening() {
    let place = Place::new();
    let (row, _) = place.open().create_token(token("a"), NOON).unwrap();
    let secret = Secret::from("sk-1");
    place.open().set_key("openai", "default", None, &secret, NOON).unwrap();
    log_all(&place.open(), [record(1)]);
    let store = place.open();
    assert_eq!(store.tokens().unwrap(), [row]);
    assert_eq!(store.open_keys().unwrap()[0].1.expose_secret(), "sk-1");
    assert_eq!(store.count(&LogFilter::default()).unwrap(), 1);
}

#[test]
fn another_process_changes_are_seen() {
    let place = Place::new();
    let (one, two) = (place.open(), place.open());
    let before = one.version().unwrap();
    two.create_token(token("a"), NOON).unwrap();
    assert_ne!(one.version().unwrap(), before);
    assert_eq!(one.tokens().unwrap().len(), 1);
}

#[test]
fn opens_quickly() {
    let place = Place::new();
    drop(place.open());
    let best = (0..10)
        .map(|_| {
            let start = Instant::now();
            drop(place.open());
            start.elapsed()
        })
        .min()
        .unwrap();
    assert!(best.as_millis() < 10, "{best:?}");
}

#[test]
fn a_read_only_store_reads_and_refuses_to_change() {
    let place = Place::new();
    let missing = Store::open_read_only(&place.path()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(!place.path().exists());
    let store = place.open();
    store.create_token(token("a"), NOON).unwrap();
    log_all(&store, [record(1)]);
    let reader = Store::open_read_only(&place.path()).unwrap();
    assert_eq!(reader.tokens().unwrap().len(), 1);
    assert_eq!(reader.count(&LogFilter::default()).unwrap(), 1);
    assert_eq!(reader.create_token(token("b"), NOON).unwrap_err().kind(), ErrorKind::ReadOnly);
    // While the other goes on writing.
    log_all(&store, [record(2)]);
    assert_eq!(reader.count(&LogFilter::default()).unwrap(), 2);
}

#[test]
fn a_newer_database_is_refused_untouched() {
    let place = Place::new();
    drop(place.open());
    let other = Connection::open(place.path()).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    for opened in [Store::open(&place.path()), Store::open_read_only(&place.path())] {
        let refused = opened.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Newer);
        assert!(refused.to_string().contains("update Genesis"), "{refused}");
    }
    let version: i64 = other.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn files_that_are_not_ours_are_refused_untouched() {
    let place = Place::new();
    fs::create_dir(place.path().parent().unwrap()).unwrap();
    let text = "name,age\n".repeat(1_000);
    fs::write(place.path(), &text).unwrap();
    let refused = Store::open(&place.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains("restore it from a backup"), "{refused}");
    assert_eq!(fs::read_to_string(place.path()).unwrap(), text);

    fs::remove_file(place.path()).unwrap();
    Connection::open(place.path()).unwrap().execute_batch("CREATE TABLE recipes (name)").unwrap();
    let refused = Store::open(&place.path()).unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
}

#[test]
fn a_damaged_settings_file_is_noticed_when_opening() {
    let place = Place::new();
    let store = place.open();
    (0..50).for_each(|number| drop(store.create_token(token(&number.to_string()), NOON).unwrap()));
    drop(store);
    let file = fs::OpenOptions::new().write(true).open(place.path()).unwrap();
    let length = file.metadata().unwrap().len();
    for page in 1..length / 4096 {
        file.write_all_at(&[0xA5; 200], page * 4096).unwrap();
    }
    let refused = Store::open(&place.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
}

#[test]
fn a_folder_in_the_way_is_explained() {
    let place = Place::new();
    fs::write(place.path().parent().unwrap(), "a file").unwrap();
    let refused = Store::open(&place.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ReadOnly);
    assert!(refused.to_string().contains("make its folder writable"), "{refused}");
}

// Master key

fn open_with_key(place: &Place, key: &str) -> Store {
    let master_key = Some(Secret::from(key));
    Store::open_with(StoreOptions { path: place.path(), master_key, read_only: false }).unwrap()
}

#[test]
fn a_wrong_master_key_spoils_nothing_but_the_keys() {
    let place = Place::new();
    let secret = Secret::from("sk-1");
    open_with_key(&place, &"ab".repeat(32)).set_key("openai", "default", None, &secret, NOON).unwrap();
    assert!(!place.path().with_file_name("master.key").exists());
    for wrong in ["cd".repeat(32), "short".to_owned()] {
        let store = open_with_key(&place, &wrong);
        let refused = store.open_keys().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::MasterKey);
        assert!(!refused.to_string().contains(&wrong), "{refused}");
        // A second key under a second master key would leave no master key that opens both.
        assert_eq!(
            store.set_key("groq", "default", None, &secret, NOON).unwrap_err().kind(),
            ErrorKind::MasterKey
        );
        assert_eq!(store.keys().unwrap().len(), 1);
        store.create_token(token(&wrong[..5]), NOON).unwrap();
    }
    assert_eq!(open_with_key(&place, &"AB".repeat(32)).open_keys().unwrap().len(), 1);
}

#[test]
fn a_lost_master_key_is_not_silently_replaced() {
    let place = Place::new();
    let store = place.open();
    let secret = Secret::from("sk-1");
    store.set_key("openai", "default", None, &secret, NOON).unwrap();
    let file = place.path().with_file_name("master.key");
    fs::remove_file(&file).unwrap();
    for refused in
        [store.open_keys().unwrap_err(), store.set_key("groq", "default", None, &secret, NOON).unwrap_err()]
    {
        assert_eq!(refused.kind(), ErrorKind::MasterKey);
        assert!(refused.to_string().contains("is gone"), "{refused}");
    }
    assert!(!file.exists());
    store.remove_key("openai", "default", None).unwrap();
    store.set_key("groq", "default", None, &secret, NOON).unwrap();
    assert_eq!(store.open_keys().unwrap().len(), 1);
}

#[test]
fn a_master_key_others_can_read_is_refused() {
    let place = Place::new();
    let store = place.open();
    store.set_key("openai", "default", None, &Secret::from("sk-1"), NOON).unwrap();
    let file = place.path().with_file_name("master.key");
    for (mode, fine) in [(0o640, false), (0o604, false), (0o400, true), (0o600, true)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        match store.open_keys() {
            Ok(_) => assert!(fine, "{mode:o}"),
            Err(refused) => {
                assert!(!fine, "{mode:o}: {refused}");
                assert!(refused.to_string().contains(&format!("chmod 600 {}", file.display())), "{refused}");
            }
        }
    }
}

#[test]
fn a_sealed_key_moved_to_another_row_does_not_open() {
    let place = Place::new();
    let store = place.open();
    store.set_key("openai", "default", None, &Secret::from("sk-1"), NOON).unwrap();
    let file = Connection::open(place.path()).unwrap();
    file.execute("UPDATE provider_key SET provider = 'evil'", []).unwrap();
    assert_eq!(store.open_keys().unwrap_err().kind(), ErrorKind::MasterKey);
}
