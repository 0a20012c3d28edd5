//! Numbers and ids that look random and depend on nothing but the request.

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A digest of the parts, each told apart from its neighbour. For identity, not for security.
pub(crate) fn of(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().copied().chain((part.len() as u64).to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    mix(hash)
}

/// An endless run of numbers grown from `seed` (SplitMix64).
pub(crate) fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |step: u64| mix(seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

/// `prefix` followed by `length` letters and digits.
pub(crate) fn id(prefix: &str, seed: u64, length: usize) -> String {
    let seed = of(&[prefix.as_bytes(), &seed.to_le_bytes()]);
    let tail = numbers(seed).take(length).map(|n| char::from(ALPHABET[(n % 62) as usize]));
    prefix.chars().chain(tail).collect()
}

/// `length` hexadecimal digits.
pub(crate) fn hex(seed: u64, length: usize) -> String {
    numbers(seed).flat_map(|n| format!("{n:016x}").into_bytes()).take(length).map(char::from).collect()
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_repeat_for_a_seed_and_differ_between_seeds() {
        assert_eq!(id("msg_", 1, 24), id("msg_", 1, 24));
        assert_ne!(id("msg_", 1, 24), id("msg_", 2, 24));
        assert_eq!(id("msg_", 1, 24).len(), 28);
    }

    #[test]
    fn the_border_between_parts_counts() {
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
    }
}
