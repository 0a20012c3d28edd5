//! The binary encoding: every field after a tag of its number and the way its length is known.

use super::{Field, Fields, Message};

pub(super) fn encode(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.write(&mut Writer(&mut bytes));
    bytes
}

struct Writer<'a>(&'a mut Vec<u8>);

/// How the length of a value is known.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl Writer<'_> {
    fn tag(&mut self, (number, _): Field, wire: Wire) {
        put_varint(self.0, u64::from(number << 3 | wire as u32));
    }

    fn bytes(&mut self, field: Field, bytes: &[u8]) {
        self.tag(field, Wire::Length);
        put_varint(self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn eights(&mut self, field: Field, numbers: impl ExactSizeIterator<Item = [u8; 8]>) {
        self.tag(field, Wire::Length);
        put_varint(self.0, numbers.len() as u64 * 8);
        numbers.for_each(|number| self.0.extend_from_slice(&number));
    }
}

impl Fields for Writer<'_> {
    fn text(&mut self, field: Field, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn id(&mut self, field: Field, id: &[u8]) {
        self.bytes(field, id);
    }

    fn bool(&mut self, field: Field, flag: bool) {
        self.tag(field, Wire::Varint);
        self.0.push(flag.into());
    }

    fn int64(&mut self, field: Field, number: i64) {
        self.tag(field, Wire::Varint);
        put_varint(self.0, number.cast_unsigned());
    }

    fn uint32(&mut self, field: Field, number: u32) {
        self.tag(field, Wire::Varint);
        put_varint(self.0, number.into());
    }

    fn fixed32(&mut self, field: Field, number: u32) {
        self.tag(field, Wire::Fixed32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn fixed64(&mut self, field: Field, number: u64) {
        self.tag(field, Wire::Fixed64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn sfixed64(&mut self, field: Field, number: i64) {
        self.fixed64(field, number.cast_unsigned());
    }

    fn double(&mut self, field: Field, number: f64) {
        self.fixed64(field, number.to_bits());
    }

    fn fixed64s(&mut self, field: Field, numbers: &[u64]) {
        self.eights(field, numbers.iter().map(|number| number.to_le_bytes()));
    }

    fn doubles(&mut self, field: Field, numbers: &[f64]) {
        self.eights(field, numbers.iter().map(|number| number.to_le_bytes()));
    }

    fn message(&mut self, field: Field, message: &impl Message) {
        self.tag(field, Wire::Length);
        let start = self.0.len();
        message.write(&mut Writer(self.0));
        // The length stands before what it measures.
        let mut length = Vec::with_capacity(5);
        put_varint(&mut length, (self.0.len() - start) as u64);
        self.0.splice(start..start, length);
    }

    fn messages<M: Message>(&mut self, field: Field, messages: &[M]) {
        messages.iter().for_each(|message| self.message(field, message));
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The first text field and the first number field of a message, by their numbers; `None` if it is damaged. Enough to
/// read what a collector answers.
pub(super) fn read(mut bytes: &[u8], mut each: impl FnMut(u32, Found<'_>)) -> Option<()> {
    let raw = &mut bytes;
    while !raw.is_empty() {
        let tag = varint(raw)?;
        let number = u32::try_from(tag >> 3).ok()?;
        match tag & 7 {
            0 => each(number, Found::Number(varint(raw)?)),
            1 => drop(take(raw, 8)?),
            2 => {
                let length = usize::try_from(varint(raw)?).ok()?;
                each(number, Found::Bytes(take(raw, length)?));
            }
            5 => drop(take(raw, 4)?),
            _ => return None,
        }
    }
    Some(())
}

pub(super) enum Found<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(raw: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = raw.split_first()?;
        *raw = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(raw: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = raw.split_at_checked(length)?;
    *raw = rest;
    Some(taken)
}
