//! What the management API keeps: key options, custom providers, routes, documents; and who follows the log.

use std::sync::mpsc::channel;

use genesis_store::{CustomProviderRow, ErrorKind, Journal, JournalOptions, KeyOptions, PolicyRow, Secret};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use crate::support::{NOON, PATIENCE, Place, record};

fn custom(id: &str, slug: &str, headers: Option<&str>) -> CustomProviderRow {
    CustomProviderRow {
        id: id.to_owned(),
        account: "acc".to_owned(),
        slug: slug.to_owned(),
        fields: Map::from_iter([("name".to_owned(), json!("Mine"))]),
        headers: headers.map(Secret::from),
        created_at_ms: NOON,
        modified_at_ms: NOON,
    }
}

#[test]
fn options_of_a_key_survive_its_replacement() {
    let place = Place::new();
    let store = place.open();
    let key = Secret::from("sk-0123456789abcdefghij");
    store.set_key("openai", "team", Some("gw"), &key, NOON).unwrap();
    let options = KeyOptions { default_config: true, rate_limit: Some(5), rate_limit_period: Some(60) };
    let row = store.set_key_options("openai", "team", Some("gw"), options, NOON + 1).unwrap().unwrap();
    assert_eq!((row.options, row.modified_at_ms), (options, NOON + 1));
    assert_eq!(store.set_key("openai", "team", Some("gw"), &key, NOON + 2).unwrap().options, options);
    assert_eq!(store.set_key_options("openai", "other", None, options, NOON).unwrap(), None);
}

#[test]
fn headers_of_custom_providers_are_sealed() {
    let place = Place::new();
    let store = place.open();
    store.put_custom_provider(&custom("1", "mine", Some("{\"x-key\":\"very-secret\"}"))).unwrap();
    store.put_custom_provider(&custom("2", "plain", None)).unwrap();
    let taken = store.put_custom_provider(&custom("3", "mine", None)).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Exists);
    let rows = place.open().custom_providers().unwrap();
    assert_eq!(rows[0].headers.as_ref().unwrap().expose_secret(), "{\"x-key\":\"very-secret\"}");
    assert!(rows[1].headers.is_none());
    // The ciphertext belongs to its row.
    let connection = rusqlite::Connection::open(place.path()).unwrap();
    connection.execute_batch("UPDATE custom_provider SET slug = 'moved' WHERE id = '1'").unwrap();
    assert_eq!(place.open().custom_providers().unwrap_err().kind(), ErrorKind::MasterKey);
    assert!(store.delete_custom_provider("1").unwrap());
    assert!(!store.delete_custom_provider("1").unwrap());
}

#[test]
fn routes_keep_every_version_and_deployment() {
    let place = Place::new();
    let store = place.open();
    let version = store.version().unwrap();
    let route = store.create_route("acc", "gw", "support", &json!([1]), NOON).unwrap();
    assert!(store.version().unwrap() > version, "a running gateway has to notice");
    assert_eq!(
        store.create_route("acc", "gw", "support", &json!([]), NOON).unwrap_err().kind(),
        ErrorKind::Exists
    );
    store.create_route("acc", "other", "support", &json!([]), NOON).unwrap();
    let second = store.add_route_version(&route.id, &json!([2]), NOON + 1).unwrap();
    assert_eq!(store.routes(Some("gw")).unwrap()[0].deployed().unwrap().elements, json!([1]));
    store.deploy_route(&route.id, &second.id, NOON + 2).unwrap();
    let kept = store.routes(Some("gw")).unwrap().remove(0);
    assert_eq!(kept.deployed().unwrap(), &second);
    assert_eq!((kept.versions.len(), kept.deployments.len(), kept.modified_at_ms), (2, 2, NOON + 2));
    assert_eq!(store.deploy_route(&route.id, "nothing", NOON).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.add_route_version("nothing", &json!([]), NOON).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(store.rename_route(&route.id, "help", NOON + 3).unwrap());
    assert!(store.delete_route(&route.id).unwrap());
    assert_eq!(store.routes(None).unwrap().len(), 1);
}

#[test]
fn what_belongs_to_a_gateway_goes_with_it() {
    let place = Place::new();
    let store = place.open();
    for gateway in ["gw", "other"] {
        store.put_gateway("acc", gateway, &json!({}), NOON).unwrap();
        store.set_key("openai", "default", Some(gateway), &Secret::from("sk-1"), NOON).unwrap();
        store.create_route("acc", gateway, "r", &json!([]), NOON).unwrap();
        store.create_document("dataset", "acc", gateway, Map::new(), NOON).unwrap();
    }
    store.set_key("openai", "default", None, &Secret::from("sk-all"), NOON).unwrap();
    assert!(store.delete_gateway("acc", "gw").unwrap());
    let gateways: Vec<_> = store.keys().unwrap().into_iter().map(|key| key.gateway).collect();
    assert_eq!(gateways, [None, Some("other".to_owned())]);
    assert_eq!(store.routes(None).unwrap()[0].gateway, "other");
    assert!(store.documents("dataset", "gw").unwrap().is_empty());
    assert_eq!(store.documents("dataset", "other").unwrap().len(), 1);
    assert!(!store.delete_gateway("acc", "gw").unwrap());
    assert_eq!(store.documents("dataset", "other").unwrap().len(), 1);
}

#[test]
fn documents_are_replaced_in_place() {
    let place = Place::new();
    let store = place.open();
    let mut row = store.create_document("dataset", "acc", "gw", Map::new(), NOON).unwrap();
    row.body.insert("name".to_owned(), Value::from("new"));
    row.modified_at_ms = NOON + 1;
    store.replace_document(&row).unwrap();
    assert_eq!(store.documents("dataset", "gw").unwrap(), [row.clone()]);
    assert!(store.delete_document(&row.id).unwrap());
    assert!(!store.delete_document(&row.id).unwrap());
    // Whoever still holds it cannot bring it back.
    assert_eq!(store.replace_document(&row).unwrap_err().kind(), ErrorKind::NotFound);
    store.add_document(&row).unwrap();
    assert_eq!(store.add_document(&row).unwrap_err().kind(), ErrorKind::Exists);
}

#[test]
fn a_policy_keeps_what_is_in_force_apart_from_what_is_drafted() {
    let place = Place::new();
    let store = place.open();
    let fields = |value: Value| value.as_object().unwrap().clone();
    let mut row = PolicyRow::new("acc", "gw", NOON);
    row.live = Some(fields(json!({ "name": "a", "condition": "true" })));
    store.add_policy(&row).unwrap();
    row.draft = Some(fields(json!({ "name": "b" })));
    store.replace_policies(std::slice::from_ref(&row)).unwrap();
    let kept = store.policies(None).unwrap().remove(0);
    assert_eq!(kept, row);
    assert_eq!(kept.in_force().unwrap(), fields(json!({ "id": row.id, "name": "a", "condition": "true" })));
    assert_eq!(kept.staged(), fields(json!({ "id": row.id, "name": "b", "condition": "true" })));
    assert!(store.policies(Some("other")).unwrap().is_empty());
    let gone = PolicyRow::new("acc", "gw", NOON);
    row.live = None;
    assert_eq!(store.replace_policies(&[row.clone(), gone]).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.policies(Some("gw")).unwrap(), [kept], "all or none");
    assert!(store.delete_policy(&row.id).unwrap());
}

#[test]
fn followers_see_each_record_until_they_leave() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, JournalOptions::default());
    let (tell, told) = channel();
    let following = journal.follow(Box::new(move |record| tell.send(record.clone()).unwrap_or_default()));
    let mut wanted = record(1);
    wanted.metadata.insert("team".to_owned(), json!("red"));
    journal.push(wanted.clone(), None);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), wanted);
    drop(following);
    journal.push(record(2), None);
    assert!(journal.flush(PATIENCE));
    assert!(told.try_recv().is_err());
    journal.end_following();
    let (tell, told) = channel::<()>();
    let _following = journal.follow(Box::new(move |_| tell.send(()).unwrap_or_default()));
    assert!(told.recv_timeout(PATIENCE).is_err(), "whoever comes later is let go at once");
}
