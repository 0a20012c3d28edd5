//! Whether a host or an origin is this machine.

use std::net::Ipv4Addr;

/// Whether the value of a `host` or `origin` header names this machine. Web pages can reach loopback under a name of
/// their own, so a name that merely resolves to it is not local.
pub fn is_local_place(place: &str) -> bool {
    let host = place.split("://").last().unwrap_or_default();
    let host =
        host.rsplit_once(':').map_or(host, |(name, port)| if port.contains(']') { host } else { name });
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local_place;

    #[test]
    fn only_this_machine_is_local() {
        for place in
            ["localhost", "127.0.0.1:18789", "http://localhost:3000", "[::1]:80", "https://a.localhost"]
        {
            assert!(is_local_place(place), "{place}");
        }
        for place in
            ["example.com", "http://127.0.0.1.example.com", "null", "", "10.0.0.1:80", "localhost.example"]
        {
            assert!(!is_local_place(place), "{place}");
        }
    }
}
