//! Numbers and text as packed bytes: LEB128, and text after its length.

pub(crate) fn put_number(raw: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        raw.push(number as u8 | 0x80);
        number >>= 7;
    }
    raw.push(number as u8);
}

/// Small numbers of either sign stay short.
pub(crate) fn put_signed(raw: &mut Vec<u8>, number: i64) {
    put_number(raw, ((number << 1) ^ (number >> 63)) as u64);
}

pub(crate) fn put_bytes(raw: &mut Vec<u8>, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        // Nearly every text is short.
        Ok(length @ ..0x80) => raw.push(length),
        _ => put_number(raw, bytes.len() as u64),
    }
    raw.extend_from_slice(bytes);
}

/// `None`: the end, or no number.
pub(crate) fn number(raw: &mut &[u8]) -> Option<u64> {
    if let [byte @ ..0x80, rest @ ..] = raw {
        // Nearly every number is small.
        *raw = rest;
        return Some((*byte).into());
    }
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

pub(crate) fn signed(raw: &mut &[u8]) -> Option<i64> {
    let number = number(raw)?;
    Some((number >> 1) as i64 ^ -((number & 1) as i64))
}

pub(crate) fn bytes<'a>(raw: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(raw)?;
    take(raw, length.try_into().ok()?)
}

pub(crate) fn text<'a>(raw: &mut &'a [u8]) -> Option<&'a str> {
    str::from_utf8(bytes(raw)?).ok()
}

pub(crate) fn take<'a>(raw: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = raw.split_at_checked(length)?;
    *raw = rest;
    Some(taken)
}
