//! Connections that are open, as Linux lists them in `/proc/net/tcp`: of this machine, or of a container's own network.

use std::collections::BTreeSet;

/// `TCP_ESTABLISHED` in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

/// How many connections are established to ports of this machine.
pub(super) fn here(ports: &BTreeSet<u16>) -> usize {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    tables.map(|table| count(&std::fs::read_to_string(table).unwrap_or_default(), ports)).iter().sum()
}

/// How many of a table's connections are established to these ports.
pub(super) fn count(table: &str, ports: &BTreeSet<u16>) -> usize {
    table.lines().filter_map(established).filter(|port| ports.contains(port)).count()
}

/// The local port of a line of `/proc/net/tcp`, where its connection is established.
fn established(line: &str) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace();
    let port = fields.nth(1)?.rsplit(':').next()?;
    let state = fields.nth(1)?;
    (state == ESTABLISHED).then(|| u16::from_str_radix(port, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_while_it_is_open() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let ports = BTreeSet::from([listener.local_addr().unwrap().port()]);
        assert_eq!(here(&ports), 0);
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(here(&ports), 1);
        drop((client, server));
    }

    #[test]
    fn a_listening_socket_is_no_connection() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1";
        assert_eq!(established(line), None);
        assert_eq!(established(&line.replace(" 0A ", " 01 ")), Some(8080));
        assert_eq!(established(""), None);
    }
}
