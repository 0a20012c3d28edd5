//! A message's headers: names with typed values.

/// The value of a header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderValue<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// An 8-bit integer.
    Byte(i8),
    /// A 16-bit integer.
    Short(i16),
    /// A 32-bit integer.
    Integer(i32),
    /// A 64-bit integer.
    Long(i64),
    /// Up to 65,535 bytes.
    Bytes(&'a [u8]),
    /// Up to 65,535 bytes of UTF-8.
    String(&'a str),
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// A UUID.
    Uuid([u8; 16]),
}

/// The first header in `bytes`: its name, its value and the bytes after it.
pub(super) fn read_header(bytes: &[u8]) -> Option<(&str, HeaderValue<'_>, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let (value, rest) = match kind {
        0 => (HeaderValue::Bool(true), rest),
        1 => (HeaderValue::Bool(false), rest),
        2 => number(rest, |bytes| HeaderValue::Byte(i8::from_be_bytes(bytes)))?,
        3 => number(rest, |bytes| HeaderValue::Short(i16::from_be_bytes(bytes)))?,
        4 => number(rest, |bytes| HeaderValue::Integer(i32::from_be_bytes(bytes)))?,
        5 => number(rest, |bytes| HeaderValue::Long(i64::from_be_bytes(bytes)))?,
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            match kind {
                6 => (HeaderValue::Bytes(value), rest),
                _ => (HeaderValue::String(str::from_utf8(value).ok()?), rest),
            }
        }
        8 => number(rest, |bytes| HeaderValue::Timestamp(i64::from_be_bytes(bytes)))?,
        9 => number(rest, HeaderValue::Uuid)?,
        _ => return None,
    };
    Some((str::from_utf8(name).ok()?, value, rest))
}

fn number<'a, const N: usize>(
    bytes: &'a [u8],
    read: impl Fn([u8; N]) -> HeaderValue<'a>,
) -> Option<(HeaderValue<'a>, &'a [u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((read(*number), rest))
}

/// Appends a header; what the format has no room for is cut.
pub(super) fn write_header(out: &mut Vec<u8>, name: &str, value: &HeaderValue<'_>) {
    let name = &name[..name.floor_char_boundary(usize::from(u8::MAX))];
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    match value {
        HeaderValue::Bool(flag) => out.push(u8::from(!flag)),
        HeaderValue::Byte(number) => tagged(out, 2, &number.to_be_bytes()),
        HeaderValue::Short(number) => tagged(out, 3, &number.to_be_bytes()),
        HeaderValue::Integer(number) => tagged(out, 4, &number.to_be_bytes()),
        HeaderValue::Long(number) => tagged(out, 5, &number.to_be_bytes()),
        HeaderValue::Bytes(bytes) => sized(out, 6, &bytes[..bytes.len().min(usize::from(u16::MAX))]),
        HeaderValue::String(text) => {
            sized(out, 7, &text.as_bytes()[..text.floor_char_boundary(usize::from(u16::MAX))]);
        }
        HeaderValue::Timestamp(number) => tagged(out, 8, &number.to_be_bytes()),
        HeaderValue::Uuid(bytes) => tagged(out, 9, bytes),
    }
}

fn tagged(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn sized(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    tagged(out, kind, &(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}
