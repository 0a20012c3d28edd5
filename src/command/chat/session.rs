//! What was said so far and what it cost. Kept in memory alone.

use crate::client::{Answer, Choice, Question, Role, Turn};
use crate::render;

pub(super) struct Session {
    choice: Choice,
    question: Question,
    spent: Spent,
}

/// What the answers took together.
#[derive(Clone, Copy, Default)]
struct Spent {
    answers: u64,
    tokens_in: u64,
    tokens_out: u64,
    nano_usd: i64,
    /// Answers whose cost nobody knows.
    unpriced: u64,
}

impl Session {
    pub(super) fn new(choice: Choice, system: Option<String>, max_tokens: Option<u64>) -> Self {
        let question = Question { system, max_tokens, turns: Vec::new() };
        Self { choice, question, spent: Spent::default() }
    }

    pub(super) fn choice(&self) -> &Choice {
        &self.choice
    }

    pub(super) fn switch(&mut self, choice: Choice) {
        self.choice = choice;
    }

    /// All that was said, which waits for its answer.
    pub(super) fn question(&self) -> &Question {
        &self.question
    }

    pub(super) fn say(&mut self, text: &str) {
        self.turn(Role::User, text);
    }

    pub(super) fn answered(&mut self, answer: &Answer) {
        let receipt = &answer.receipt;
        let usage = receipt.usage.unwrap_or_default();
        self.spent.answers += 1;
        self.spent.tokens_in += usage.tokens_in();
        self.spent.tokens_out += usage.tokens_out();
        match &receipt.cost {
            Some((nano_usd, _)) => self.spent.nano_usd += nano_usd,
            None => self.spent.unpriced += 1,
        }
        self.stopped(&answer.text);
    }

    /// The answer ended here. A question without any is forgotten: two questions in a row are refused by some.
    pub(super) fn stopped(&mut self, said: &str) {
        if said.trim().is_empty() {
            self.question.turns.pop();
        } else {
            self.turn(Role::Assistant, said);
        }
    }

    pub(super) fn forget(&mut self) {
        self.question.turns.clear();
    }

    /// What it all took, for people.
    pub(super) fn total(&self) -> String {
        let Spent { answers, tokens_in, tokens_out, nano_usd, unpriced } = self.spent;
        let (tokens_in, tokens_out) = (render::count(tokens_in), render::count(tokens_out));
        let unpriced = match unpriced {
            0 => String::new(),
            count => format!(" and {count} of unknown cost"),
        };
        let noun = if answers == 1 { "answer" } else { "answers" };
        format!(
            "{answers} {noun}: {tokens_in} tokens in, {tokens_out} out, {}{unpriced}",
            render::money(nano_usd)
        )
    }

    fn turn(&mut self, role: Role, text: &str) {
        self.question.turns.push(Turn { role, text: text.to_owned() });
    }
}
