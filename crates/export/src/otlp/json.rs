//! The JSON encoding: Protobuf's, but for ids in hex and enumerations as numbers. 64-bit integers are text, since
//! readers may hold numbers as doubles.

use std::fmt::Display;
use std::io::Write as _;

use super::{Field, Fields, Message};

pub(super) fn encode(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_object(&mut bytes, message);
    bytes
}

struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    first: bool,
}

fn put_object(bytes: &mut Vec<u8>, message: &impl Message) {
    bytes.push(b'{');
    message.write(&mut Writer { bytes, first: true });
    bytes.push(b'}');
}

impl Writer<'_> {
    fn name(&mut self, (_, name): Field) {
        if !std::mem::replace(&mut self.first, false) {
            self.bytes.push(b',');
        }
        self.put(format_args!("\"{name}\":"));
    }

    fn put(&mut self, what: impl Display) {
        let _ = write!(self.bytes, "{what}"); // writing to memory cannot fail
    }

    fn list<T>(&mut self, field: Field, items: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.name(field);
        self.bytes.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.bytes.push(b',');
            }
            put(self, item);
        }
        self.bytes.push(b']');
    }

    fn put_double(&mut self, number: f64) {
        let _ = serde_json::to_writer(&mut *self.bytes, &number);
    }
}

impl Fields for Writer<'_> {
    fn text(&mut self, field: Field, text: &str) {
        self.name(field);
        let _ = serde_json::to_writer(&mut *self.bytes, text);
    }

    fn id(&mut self, field: Field, id: &[u8]) {
        self.name(field);
        self.bytes.push(b'"');
        id.iter().for_each(|byte| self.put(format_args!("{byte:02x}")));
        self.bytes.push(b'"');
    }

    fn bool(&mut self, field: Field, flag: bool) {
        self.name(field);
        self.put(flag);
    }

    fn int64(&mut self, field: Field, number: i64) {
        self.name(field);
        self.put(format_args!("\"{number}\""));
    }

    fn uint32(&mut self, field: Field, number: u32) {
        self.name(field);
        self.put(number);
    }

    fn fixed32(&mut self, field: Field, number: u32) {
        self.uint32(field, number);
    }

    fn fixed64(&mut self, field: Field, number: u64) {
        self.name(field);
        self.put(format_args!("\"{number}\""));
    }

    fn sfixed64(&mut self, field: Field, number: i64) {
        self.int64(field, number);
    }

    fn double(&mut self, field: Field, number: f64) {
        self.name(field);
        self.put_double(number);
    }

    fn fixed64s(&mut self, field: Field, numbers: &[u64]) {
        self.list(field, numbers, |writer, number| writer.put(format_args!("\"{number}\"")));
    }

    fn doubles(&mut self, field: Field, numbers: &[f64]) {
        self.list(field, numbers, |writer, number| writer.put_double(*number));
    }

    fn message(&mut self, field: Field, message: &impl Message) {
        self.name(field);
        put_object(self.bytes, message);
    }

    fn messages<M: Message>(&mut self, field: Field, messages: &[M]) {
        self.list(field, messages, |writer, message| put_object(writer.bytes, message));
    }
}
