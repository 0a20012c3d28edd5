//! Who listens where the gateway would.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;

use super::finding::{Area, Finding};
use crate::probe::{Found, probe};
use crate::render::plain;

pub(super) fn finding(listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::note(Area::Port, format!("{listen} is free: no gateway runs there")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => taken(listen),
        Err(error) => Finding::problem(Area::Port, format!("{listen} cannot be listened on: {error}"))
            .remedy("set gateway.listen in genesis.json to an address of this machine"),
    }
}

fn taken(listen: SocketAddr) -> Finding {
    let by = owner(listen.port()).map(|owner| format!(" ({owner})")).unwrap_or_default();
    let Found::Gateway(report) = probe(listen) else {
        return Finding::problem(Area::Port, format!("{listen} is taken by another program{by}"))
            .remedy("stop it, or set gateway.listen in genesis.json to another port");
    };
    let answers = format!("a genesis gateway answers on {listen}{by}");
    let failing = report["failing"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let failing: Vec<String> = failing.map(plain).collect();
    if failing.is_empty() {
        return Finding::good(Area::Port, answers);
    }
    let why = report["log"]["lastError"].as_str().map(|why| format!(": {}", plain(why))).unwrap_or_default();
    Finding::problem(Area::Port, format!("{answers} and says that this fails: {}{why}", failing.join(", ")))
        .remedy("calls are still served; look under Store")
}

/// The process that listens on a port, as far as this user may know: `nginx, process 812`.
fn owner(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut files = files.filter_map(|file| fs::read_link(file.path()).ok());
        if files.any(|file| sockets.iter().any(|socket| file.as_os_str() == socket.as_str())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{}, process {pid}", plain(name.trim())));
        }
    }
    None
}

/// Inodes of the sockets that listen on a port, from one of the kernel's tables.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let wanted = format!("{port:04X}");
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = columns.get(1)?.rsplit_once(':')?;
        (local == wanted && *columns.get(3)? == LISTEN)
            .then(|| columns.get(9).map(|inode| (*inode).to_owned()))?
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::listening;

    #[test]
    fn the_kernel_s_table_names_the_socket_that_listens() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4965 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41234 1 0 100 0 0 10 0
   1: 0100007F:4965 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 41299 1 0 100 0 0 10 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 900 1 0 100 0 0 10 0
";
        assert_eq!(listening(table, 0x4965), ["41234"]);
        assert_eq!(listening(table, 22), ["900"]);
        assert!(listening(table, 80).is_empty());
    }
}
