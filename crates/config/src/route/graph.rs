//! Whether the nodes of a route make a graph that every call can walk to an end.

use super::NodeKind;
use super::read::Nodes;
use crate::problem::Problem;

/// Nodes nobody comes to, ways that never end, routes without a model.
pub(super) fn check(nodes: &Nodes) -> Vec<Problem> {
    let Nodes(nodes, places) = nodes;
    let mut problems = Vec::new();
    let mut state = vec![Visit::Never; nodes.len()];
    // Depth first with a stack of our own: (node, outputs still to look at).
    let mut stack = vec![(0, nodes[0].kind.outputs())];
    state[0] = Visit::OnTheWay;
    while let Some((node, outputs)) = stack.last_mut() {
        let node = *node;
        let Some(to) = outputs.pop() else {
            state[node] = Visit::Done;
            stack.pop();
            continue;
        };
        match state[to] {
            Visit::Never => {
                state[to] = Visit::OnTheWay;
                stack.push((to, nodes[to].kind.outputs()));
            }
            Visit::OnTheWay => {
                let message = format!("leads back to `{}`, so a call could go round for ever", nodes[to].id);
                problems.push(Problem::at(format!("elements[{}].outputs", places[node]), message));
            }
            Visit::Done => {}
        }
    }
    for (node, place) in places.iter().enumerate().filter(|(node, _)| state[*node] == Visit::Never) {
        let message = format!("no way leads to `{}`", nodes[node].id);
        problems
            .push(Problem::at(format!("elements[{place}]"), message).with_hint("connect it, or take it out"));
    }
    if !nodes.iter().any(|node| matches!(node.kind, NodeKind::Model(_))) {
        problems.push(Problem::at("elements", "a route without a model can answer nothing"));
    }
    problems
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Visit {
    Never,
    OnTheWay,
    Done,
}
