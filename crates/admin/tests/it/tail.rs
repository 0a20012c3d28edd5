//! The log as it happens.

use std::time::Duration;

use bytes::Bytes;
use genesis_admin::Body;
use genesis_store::{LogRecord, Outcome};
use http::{Request, Response};
use http_body_util::BodyExt;

use crate::support::{Api, BASE, record, runtime};

fn follow(api: &Api, query: &str) -> Response<Body> {
    let request = Request::get(format!("{BASE}/gateways/gw/logs/tail{query}"))
        .header("authorization", format!("Bearer {}", api.token))
        .body(Bytes::new())
        .unwrap();
    api.admin.answer(&request)
}

async fn next(body: &mut Body) -> Option<String> {
    let frame = tokio::time::timeout(Duration::from_secs(60), body.frame()).await.expect("an event")?;
    Some(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
}

#[test]
fn exchanges_are_shown_as_they_happen() {
    let api = Api::with_gateway();
    let response = follow(&api, "?success=false");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    runtime().block_on(async {
        assert_eq!(next(&mut body).await.unwrap(), ": following\n\n");
        let failed = LogRecord { outcome: Outcome::ProviderError, ..record(2) };
        let elsewhere = LogRecord { gateway: "declared".to_owned(), outcome: Outcome::Refused, ..record(3) };
        api.log([record(1), elsewhere, failed]);
        let event = next(&mut body).await.unwrap();
        assert!(event.starts_with(&format!("event: log\nid: {}\ndata: {{", record(2).id)), "{event}");
        assert!(event.ends_with("}\n\n"));
        // Nobody else is told.
        api.admin.close();
        assert_eq!(next(&mut body).await, None);
    });
}

#[test]
fn a_slow_listener_learns_how_much_it_missed() {
    let api = Api::with_gateway();
    let mut body = follow(&api, "").into_body();
    api.log((0..300).map(record));
    runtime().block_on(async {
        assert_eq!(next(&mut body).await.unwrap(), ": following\n\n");
        assert_eq!(next(&mut body).await.unwrap(), "event: skipped\ndata: {\"count\":44}\n\n");
        assert!(next(&mut body).await.unwrap().contains(&record(0).id.to_string()));
    });
}

#[test]
fn listeners_are_limited_and_give_their_place_back() {
    let api = Api::with_gateway();
    let all: Vec<_> = (0..64).map(|_| follow(&api, "")).collect();
    assert!(all.iter().all(|response| response.status() == 200));
    assert_eq!(follow(&api, "").status(), 429);
    drop(all);
    assert_eq!(follow(&api, "").status(), 200);
}
