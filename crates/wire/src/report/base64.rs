//! Standard base64, decoded leniently: what is not in the alphabet ends the text.

/// Appends what `encoded` stands for to `out`.
pub(super) fn decode(encoded: &[u8], out: &mut Vec<u8>) {
    out.reserve(encoded.len() / 4 * 3 + 3);
    for group in encoded.chunks(4) {
        let mut bits = 0_u32;
        let mut digits = 0;
        for byte in group {
            let digit = DIGITS[usize::from(*byte)];
            if digit == NONE {
                break;
            }
            bits |= u32::from(digit) << (26 - 6 * digits);
            digits += 1;
        }
        // Four digits are three bytes, three are two, two are one; one alone says nothing.
        out.extend_from_slice(&bits.to_be_bytes()[..(digits * 3) / 4]);
        if digits < 4 {
            return;
        }
    }
}

const NONE: u8 = u8::MAX;

static DIGITS: [u8; 256] = digits();

const fn digits() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = [NONE; 256];
    let mut digit = 0;
    while digit < alphabet.len() {
        digits[alphabet[digit] as usize] = digit as u8;
        digit += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_vectors_come_out() {
        for (encoded, decoded) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9v!garbage", "foo"),
            ("Z", ""),
        ] {
            let mut out = Vec::new();
            decode(encoded.as_bytes(), &mut out);
            assert_eq!(out, decoded.as_bytes(), "{encoded}");
        }
    }
}
