//! Ports that are free.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// The first port that is given: these lie below the range from which Linux takes ports for outgoing connections
/// (32768 to 60999 unless it was changed), so that none of those takes it away between two starts.
const FIRST: u16 = 20_000;
/// How many there are.
const COUNT: u16 = 10_000;

/// A port of 127.0.0.1 between 20000 and 29999 on which nobody listens, none of `taken`. It is not held: say it is
/// taken the next time. The first that is tried is random, so that two who ask at once rarely get the same.
///
/// # Errors
/// When none is free.
pub fn free_port(taken: &BTreeSet<u16>) -> Result<u16> {
    let random = RandomState::new().hash_one(std::process::id());
    let begin = u16::try_from(random % u64::from(COUNT)).unwrap_or(0);
    for step in 0..COUNT {
        let port = FIRST + (begin + step) % COUNT;
        if !taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port of 127.0.0.1 from {FIRST} to {} is free: stop what listens there", FIRST + COUNT - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_neither_taken_nor_listened_on() {
        let all_but = |free: &[u16]| -> BTreeSet<u16> {
            (FIRST..FIRST + COUNT).filter(|port| !free.contains(port)).collect()
        };
        let open = free_port(&BTreeSet::new()).unwrap();
        assert!((FIRST..FIRST + COUNT).contains(&open));
        let listener = loop {
            // Another test of this machine may be quicker.
            let port = free_port(&BTreeSet::new()).unwrap();
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                break listener;
            }
        };
        let port = listener.local_addr().unwrap().port();
        let error = free_port(&all_but(&[port])).unwrap_err();
        assert!(error.to_string().contains("20000 to 29999"));
    }
}
