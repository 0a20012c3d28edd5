//! The fuzz targets on a short, seeded diet: every stream we know, mutated, and plain noise.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{fuzz_bodies, streams};

const ROUNDS: usize = 150;
const TRANSLATION_ROUNDS: usize = 24;

const REQUESTS: [&str; 3] = [
    r#"{"model":"openai/gpt-5","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":5}"#,
    r#"{ "stream_options" : {"include_usage":true}, "model" : "a\/b", "model":"c" }"#,
    r#"{"generationConfig":{"maxOutputTokens":1e3},"contents":[]}"#,
];

#[test]
fn fuzz_bodies_hold_on_mutated_samples() {
    let mut seeds: Vec<Vec<u8>> = streams::all().into_iter().map(|(_, stream)| stream).collect();
    seeds.extend(REQUESTS.map(|request| request.as_bytes().to_vec()));
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..ROUNDS {
        for seed in &seeds {
            let mut input = vec![random.next() as u8];
            input.extend_from_slice(seed);
            for _ in 0..round % 8 {
                random.mutate(&mut input);
            }
            run_all(&input);
        }
        let noise: Vec<u8> = (0..random.below(64)).map(|_| random.next() as u8).collect();
        run_all(&noise);
    }
}

#[test]
fn translation_holds_on_mutated_fixtures() {
    let mut seeds: Vec<Vec<u8>> = streams::all().into_iter().map(|(_, stream)| stream).collect();
    seeds.extend(fixtures(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/translate/fixtures"))));
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for round in 0..TRANSLATION_ROUNDS {
        for seed in &seeds {
            let mut input = vec![random.next() as u8, random.next() as u8];
            input.extend_from_slice(seed);
            for _ in 0..round % 8 {
                random.mutate(&mut input);
            }
            fuzz_bodies::translate(&input);
        }
        let noise: Vec<u8> = (0..random.below(64)).map(|_| random.next() as u8).collect();
        fuzz_bodies::translate(&noise);
    }
}

/// Requests, answers and server-sent streams of every dialect, in an order that never changes.
fn fixtures(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).expect("the fixtures are there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| match path.is_dir() {
        true => fixtures(path),
        false => vec![fs::read(path).expect("readable")],
    };
    paths.iter().flat_map(read).collect()
}

fn run_all(input: &[u8]) {
    fuzz_bodies::sse(input);
    fuzz_bodies::peek(input.get(1..).unwrap_or_default());
    fuzz_bodies::report(input);
    fuzz_bodies::eventstream(input);
}

/// xorshift64: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Flips a byte, cuts a stretch out, repeats one, or puts in a byte that framing cares about.
    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len());
        let end = (at + 1 + self.below(20)).min(input.len());
        match self.below(4) {
            0 => input[at] ^= 1 << self.below(8),
            1 if input.len() > 40 => drop(input.drain(at..end)),
            2 => input.extend_from_within(at..end),
            _ => input.insert(at, b"\n\r{}[]\",:\\ n0-e\0"[self.below(16)]),
        }
    }
}
