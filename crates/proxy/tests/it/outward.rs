//! Calls on the gateway's own account.

use std::time::Duration;

use genesis_proxy::{Outward, OutwardCall};
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method};

use crate::upstream::{Script, Upstream};

fn call(url: String) -> OutwardCall {
    OutwardCall {
        method: Method::POST,
        url,
        headers: HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"))]),
        body: "line\n".into(),
        trusted: true,
        within: Duration::from_secs(20),
    }
}

#[test]
fn a_call_arrives_as_written_and_its_answer_comes_back_whole() {
    let upstream = Upstream::start();
    let outward = Outward::new().expect("a client");
    upstream.will_say("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nwait");
    let answer = outward.call(&call(format!("{}/in?a=b", upstream.url()))).expect("an answer");
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..], answer.retry_after),
        (503, &b"wait"[..], Some(Duration::from_secs(7)))
    );
    let expected = format!(
        "POST /in?a=b HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer s3cret\r\ncontent-length: 5\r\n\r\nline\n",
        upstream.address
    );
    assert_eq!(upstream.request_text(), expected);

    upstream.will_say("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n");
    let answer = outward.call(&call(upstream.url())).expect("an answer");
    assert_eq!(answer.status.as_u16(), 302, "no redirect is followed");
}

#[test]
fn an_address_the_operator_did_not_name_must_be_public() {
    let upstream = Upstream::start();
    let outward = Outward::new().expect("a client");
    let error = outward.call(&OutwardCall { trusted: false, ..call(upstream.url()) }).expect_err("refused");
    assert!(error.to_string().contains("not a public address"), "{error}");
    assert!(upstream.was_not_called());
}

#[test]
fn silence_ends_and_an_endless_body_is_cut() {
    let upstream = Upstream::start();
    let outward = Outward::new().expect("a client");
    upstream.will(Script { then_wait: true, ..Script::default() });
    let hasty = OutwardCall { within: Duration::from_millis(50), ..call(upstream.url()) };
    let error = outward.call(&hasty).expect_err("silence").to_string();
    assert!(error.starts_with("no answer within") && !error.contains("s3cret"), "{error}");

    let mut endless = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    endless.resize(endless.len() + 200_000, b'x');
    upstream.will(Script { pieces: vec![endless], then_wait: true, ..Script::default() });
    let answer = outward.call(&call(upstream.url())).expect("an answer");
    assert_eq!(answer.body.len(), 64 * 1024);
}

#[test]
fn what_is_no_url_is_not_called() {
    let outward = Outward::new().expect("a client");
    for url in ["ftp://host/", "http://host/a b", "http://host/a\r\nx: y", "https://user:password@host/"] {
        let error = outward.call(&call(url.to_owned())).expect_err("refused").to_string();
        assert!(error.contains("not an http or https URL") && !error.contains("password"), "{error}");
    }
}
