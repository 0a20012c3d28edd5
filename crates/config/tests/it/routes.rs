//! Dynamic routes: what is read, what is refused, and where.

use genesis_config::route::{ModelChoice, NodeKind, RateLimit};
use genesis_config::{File, Providers, Route};
use serde_json::{Value, json};

/// The example of Cloudflare's documentation, in the newer spelling.
fn support() -> Value {
    json!([
        {"id":"m1","type":"model","properties":{"provider":"openai","model":"gpt-5-mini","timeout":60000,"retries":2},
         "outputs":{"success":{"elementId":"e"},"fallback":{"elementId":"m2"}}},
        {"id":"s","type":"start","outputs":{"next":{"elementId":"c"}}},
        {"id":"c","type":"conditional","properties":{"conditions":{"metadata.plan":{"$eq":"paid"}}},
         "outputs":{"true":{"elementId":"m1"},"false":{"elementId":"r"}}},
        {"id":"r","type":"rate","properties":{"limitType":"count","key":"metadata.user_id","limit":100,"window":3600},
         "outputs":{"success":{"elementId":"p"},"fallback":{"elementId":"e"}}},
        {"id":"p","type":"percentage","properties":{},"outputs":{"10%":{"elementId":"m1"},"else":{"elementId":"m2"}}},
        {"id":"m2","type":"model","properties":{"provider":"workers-ai","model":"@cf/meta/llama","timeout":60000,"retries":1},
         "outputs":{"success":{"elementId":"e"},"fallback":{"elementId":"e"}}},
        {"id":"e","type":"end","outputs":{}}
    ])
}

fn parse(elements: &Value) -> Result<Route, Vec<String>> {
    let problems = Route::parse("support", elements, &Providers::builtin());
    problems.map_err(|problems| {
        problems
            .into_iter()
            .map(|p| format!("{}: {}; {}", p.path, p.message, p.hint.unwrap_or_default()))
            .collect()
    })
}

/// The example with one value changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut elements = support();
    *elements.pointer_mut(pointer).unwrap() = value;
    elements
}

#[test]
fn both_documented_spellings_give_the_same_graph() {
    let newer = parse(&support()).unwrap();
    let mut elements = support();
    elements[2]["properties"] = json!({"condition": {"metadata.plan": {"$eq": "paid"}}});
    elements[3]["type"] = "rate_limit".into();
    elements[3]["properties"] =
        json!({"limitType":"count","key":"metadata.user_id","limit":100,"interval":3600,"technique":"fixed"});
    elements[1]["outputs"]["next"] = "c".into();
    let older = parse(&elements).unwrap();
    assert_eq!(format!("{newer:?}"), format!("{older:?}"));
    assert_eq!(newer.nodes[0].id, "s", "the start comes first, wherever it stands");
    let rate = newer.nodes.iter().find_map(|node| match &node.kind {
        NodeKind::Rate(rate) => Some((rate.limit, rate.window)),
        _ => None,
    });
    assert_eq!(rate, Some((RateLimit::Count(100), 3600)));
}

#[test]
fn a_model_may_be_named_by_the_request() {
    let custom = json!({"provider":"custom","model":"metadata.primaryModel"});
    let route = parse(&with("/0/properties", custom)).unwrap();
    let named = route.nodes.iter().any(|node| {
        matches!(&node.kind, NodeKind::Model(model) if matches!(&model.model, ModelChoice::Named(field) if field.to_string() == "metadata.primaryModel"))
    });
    assert!(named);
}

#[test]
fn mistakes_are_told_at_their_place() {
    for (elements, expected) in [
        (json!({}), "elements: expected a list of elements"),
        (json!([]), "elements: a route begins with an element of type `start`"),
        (
            with("/1/outputs/next/elementId", json!("cc")),
            "elements[1].outputs.next: no element has this id; did you mean",
        ),
        (with("/1/outputs", json!({})), "elements[1].outputs.next: the output `next` is missing"),
        (with("/2/outputs/false", Value::Null), "elements[2].outputs.false: the output `false` is missing"),
        (
            with("/0/outputs/success", Value::Null),
            "elements[0].outputs.success: the output `success` is missing",
        ),
        (
            with("/3/outputs/success", Value::Null),
            "elements[3].outputs.success: the output `success` is missing",
        ),
        (with("/0/type", json!("modle")), "elements[0].type: no such type of element; did you mean `model`?"),
        (with("/0/id", json!("e")), "elements[6].id: another element has this id"),
        (with("/0/id", json!(7)), "elements[0]: an element needs an `id`"),
        (
            with("/0/properties/provider", json!("opnai")),
            "elements[0].properties.provider: no provider is called `opnai`; did you mean `openai`?",
        ),
        (with("/0/properties/timeout", json!(-1)), "elements[0].properties.timeout: expected a whole number"),
        (
            with("/0/properties/retries", json!(9)),
            "elements[0].properties.retries: expected a whole number, 0 to 5",
        ),
        (
            with("/0/properties", json!({"provider":"openai","model":"m","timout":1})),
            "elements[0].properties.timout: unknown field `timout`; did you mean `timeout`?",
        ),
        (with("/3/properties/window", json!(0)), "elements[3].properties.window: expected a whole number"),
        (
            with("/3/properties/limitType", json!("tokens")),
            "elements[3].properties.limitType: expected one of count, cost",
        ),
        (
            with("/3/properties/key", json!("user")),
            "elements[3].properties.key: names a value of the request",
        ),
        (
            with("/2/properties/conditions", json!({"metadata.plan":{"$eqq":1}})),
            "elements[2].properties.conditions[\"metadata.plan\"].$eqq: no such operator; did you mean",
        ),
        (
            with("/4/outputs", json!({"10%":"m1"})),
            "elements[4].outputs: the shares are less than 100% together; add `else`",
        ),
        (
            with("/4/outputs", json!({"60%":"m1","50%":"m2"})),
            "elements[4].outputs: the shares are more than 100%",
        ),
        (
            with("/4/outputs", json!({"ten":"m1","else":"m2"})),
            "elements[4].outputs.ten: expected a share such as `10%`",
        ),
        // The graph as a whole.
        (with("/5/outputs/fallback/elementId", json!("c")), "leads back to `c`"),
        (with("/2/outputs/true/elementId", json!("e")), ""),
        (with("/1/outputs/next/elementId", json!("m2")), "elements[2]: no way leads to `c`"),
    ] {
        let problems = parse(&elements).err().unwrap_or_default();
        if expected.is_empty() {
            assert_eq!(problems, [""; 0]);
            continue;
        }
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:#?}");
    }
    let idle = json!([{"id":"s","type":"start","outputs":{"next":"e"}},{"id":"e","type":"end"}]);
    assert!(parse(&idle).unwrap_err()[0].contains("a route without a model"));
    assert!(Route::parse("a/b", &support(), &Providers::builtin()).unwrap_err()[0].path == "name");
}

#[test]
fn the_file_declares_routes_with_positions_for_mistakes() {
    let text = "{
  gateway: {
    routes: {
      support: {
        gateways: ['prod'],
        elements: [
          { id: 's', type: 'start', outputs: { next: 'm' } },
          { id: 'm', type: 'model', properties: { provider: 'opnai', model: 'x' },
            outputs: { success: 'e' } },
          { id: 'e', type: 'end' },
        ],
      },
    },
  },
}";
    let problems = File::parse(text).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].line, problems[0].column), (8, 51));
    assert_eq!(problems[0].path, "gateway.routes.support.elements[1].properties.provider");
    let file = File::parse(&text.replace("opnai", "openai")).unwrap();
    let block = &file.gateway.routes["support"];
    assert_eq!(block.route("support", &Providers::builtin()).unwrap().nodes.len(), 3);
    let misspelt = text.replace("gateways:", "gateway:");
    assert!(File::parse(&misspelt).unwrap_err()[0].message.contains("unknown field `gateway`"));
}
