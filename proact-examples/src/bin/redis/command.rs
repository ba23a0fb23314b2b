//! What each command does.

use std::time::Duration;

use proact_async::time::Time;

use crate::resp::{Request, array, bulk, integer, simple};
use crate::store::Store;

/// What commands work on.
#[derive(Default)]
pub struct Database {
    pub store: Store,
    /// Commands that were carried out.
    pub commands: u64,
    /// Connections that are open.
    pub clients: u64,
}

/// Whether the connection goes on.
#[derive(PartialEq, Eq, Debug)]
pub enum Next {
    Go,
    /// The client has said goodbye.
    Quit,
}

/// Why a command was not carried out, as the client is told.
type Fault = String;

const NO_INTEGER: &str = "ERR value is not an integer or out of range";

impl Database {
    /// Carries a request out at `now`, and writes its reply.
    pub fn carry_out(&mut self, request: &Request<'_>, now: Time, output: &mut Vec<u8>) -> Next {
        let [name, arguments @ ..] = request.as_slice() else { return Next::Go };
        self.commands += 1;
        self.store.forget(now);
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        if let Err(fault) = self.command(&name, arguments, now, output) {
            simple(output, '-', &fault);
        }
        if name == "QUIT" { Next::Quit } else { Next::Go }
    }

    fn command(&mut self, name: &str, arguments: &[&[u8]], now: Time, output: &mut Vec<u8>) -> Result<(), Fault> {
        let store = &mut self.store;
        match (name, arguments) {
            ("PING", []) => simple(output, '+', "PONG"),
            ("PING" | "ECHO", [text]) => bulk(output, Some(text)),
            ("QUIT", []) => simple(output, '+', "OK"),
            ("SELECT", [b"0"]) => simple(output, '+', "OK"),
            ("SELECT", [_]) => return Err("ERR DB index is out of range".into()),
            ("GET", [key]) => bulk(output, store.get(key)),
            ("MGET", [_, ..]) => {
                array(output, arguments.len());
                arguments.iter().for_each(|key| bulk(output, store.get(key)));
            }
            ("SET", [key, value, options @ ..]) => {
                let done = set(store, key, value, options, now)?;
                if done { simple(output, '+', "OK") } else { bulk(output, None) }
            }
            ("MSET", [_, _, ..]) if arguments.len() % 2 == 0 => {
                arguments.chunks_exact(2).for_each(|pair| store.set(pair[0], pair[1].to_vec(), None));
                simple(output, '+', "OK");
            }
            ("DEL" | "UNLINK", [_, ..]) => count(output, arguments, |key| store.remove(key)),
            ("EXISTS", [_, ..]) => count(output, arguments, |key| store.get(key).is_some()),
            ("STRLEN", [key]) => integer(output, store.get(key).map_or(0, |value| value.len() as i64)),
            ("INCR", [key]) => add(store, key, 1, output)?,
            ("DECR", [key]) => add(store, key, -1, output)?,
            ("INCRBY", [key, by]) => add(store, key, whole(by)?, output)?,
            ("DECRBY", [key, by]) => add(store, key, whole(by)?.checked_neg().ok_or(NO_INTEGER)?, output)?,
            ("EXPIRE", [key, seconds]) => expire(store, key, whole(seconds)?.saturating_mul(1000), now, output),
            ("PEXPIRE", [key, milliseconds]) => expire(store, key, whole(milliseconds)?, now, output),
            ("PERSIST", [key]) => integer(output, i64::from(store.expire(key, None).flatten().is_some())),
            ("TTL", [key]) => left(store, key, now, Duration::from_secs(1), output),
            ("PTTL", [key]) => left(store, key, now, Duration::from_millis(1), output),
            ("DBSIZE", []) => integer(output, store.len() as i64),
            ("FLUSHALL" | "FLUSHDB", []) => {
                store.clear();
                simple(output, '+', "OK");
            }
            ("INFO", _) => bulk(output, Some(self.info().as_bytes())),
            // What redis-benchmark and redis-cli ask first: there is nothing to tell.
            ("CONFIG", [_, setting]) => {
                array(output, 2);
                bulk(output, Some(setting));
                bulk(output, Some(b""));
            }
            ("COMMAND", _) => array(output, 0),
            (name, _) if KNOWN.contains(&name) => {
                let name = name.to_ascii_lowercase();
                return Err(format!("ERR wrong number of arguments for '{name}' command"));
            }
            (name, _) => {
                let name: String = name.chars().take(64).collect();
                return Err(format!("ERR unknown command '{name}'"));
            }
        }
        Ok(())
    }

    fn info(&self) -> String {
        let (clients, commands, keys) = (self.clients, self.commands, self.store.len());
        format!(
            "# Server\r\nredis_mode:standalone\r\nprocess_id:{}\r\n# Clients\r\nconnected_clients:{clients}\r\n\
             # Stats\r\ntotal_commands_processed:{commands}\r\n# Keyspace\r\ndb0:keys={keys}\r\n",
            std::process::id()
        )
    }
}

/// Commands that are there, for those who give them other arguments.
const KNOWN: [&str; 23] = [
    "PING", "ECHO", "QUIT", "SELECT", "GET", "MGET", "SET", "MSET", "DEL", "UNLINK", "EXISTS", "STRLEN", "INCR",
    "DECR", "INCRBY", "DECRBY", "EXPIRE", "PEXPIRE", "PERSIST", "TTL", "PTTL", "DBSIZE", "CONFIG",
];

fn whole(text: &[u8]) -> Result<i64, Fault> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| NO_INTEGER.into())
}

fn set(store: &mut Store, key: &[u8], value: &[u8], options: &[&[u8]], now: Time) -> Result<bool, Fault> {
    let (mut end, mut wanted) = (None, None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let name = option.to_ascii_uppercase();
        match name.as_slice() {
            b"NX" if wanted != Some(true) => wanted = Some(false),
            b"XX" if wanted != Some(false) => wanted = Some(true),
            b"EX" | b"PX" if end.is_none() => {
                let unit = if name == b"EX" { 1000 } else { 1 };
                let milliseconds = whole(options.next().ok_or("ERR syntax error")?)?.saturating_mul(unit);
                let valid = u64::try_from(milliseconds).ok().filter(|&milliseconds| milliseconds > 0);
                end = Some(now + Duration::from_millis(valid.ok_or("ERR invalid expire time in 'set' command")?));
            }
            _ => return Err("ERR syntax error".into()),
        }
    }
    if wanted.is_some_and(|wanted| store.get(key).is_some() != wanted) {
        return Ok(false);
    }
    store.set(key, value.to_vec(), end);
    Ok(true)
}

fn add(store: &mut Store, key: &[u8], by: i64, output: &mut Vec<u8>) -> Result<(), Fault> {
    let old = store.get(key).map_or(Ok(0), whole)?;
    let new = old.checked_add(by).ok_or("ERR increment or decrement would overflow")?;
    store.change(key, new.to_string().into_bytes());
    integer(output, new);
    Ok(())
}

fn expire(store: &mut Store, key: &[u8], milliseconds: i64, now: Time, output: &mut Vec<u8>) {
    let was_there = match u64::try_from(milliseconds) {
        Ok(left @ 1..) => store.expire(key, Some(now + Duration::from_millis(left))).is_some(),
        // In the past: it is over.
        _ => store.remove(key),
    };
    integer(output, i64::from(was_there));
}

/// Rounded to the nearest unit, as Redis does; -1 for ever, -2 when it is not there.
fn left(store: &Store, key: &[u8], now: Time, unit: Duration, output: &mut Vec<u8>) {
    integer(
        output,
        match store.left(key, now) {
            None => -2,
            Some(None) => -1,
            Some(Some(left)) => ((left + unit / 2).as_nanos() / unit.as_nanos()) as i64,
        },
    );
}

fn count(output: &mut Vec<u8>, keys: &[&[u8]], mut counts: impl FnMut(&[u8]) -> bool) {
    integer(output, keys.iter().filter(|key| counts(key)).count() as i64);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the database says to a line, so many milliseconds after the origin.
    fn ask(database: &mut Database, now: u64, line: &str) -> String {
        let mut output = Vec::new();
        let request = line.split(' ').map(str::as_bytes).collect();
        database.carry_out(&request, Time::ORIGIN + Duration::from_millis(now), &mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn every_command_answers_as_redis_does() {
        let mut database = Database::default();
        for (now, line, reply) in [
            (0, "ping", "+PONG\r\n"),
            (0, "PING hello", "$5\r\nhello\r\n"),
            (0, "GET k", "$-1\r\n"),
            (0, "SET k 1", "+OK\r\n"),
            (0, "INCR k", ":2\r\n"),
            (0, "DECRBY k 5", ":-3\r\n"),
            (0, "INCRBY k 9223372036854775807", ":9223372036854775804\r\n"),
            (0, "INCRBY k 9", "-ERR increment or decrement would overflow\r\n"),
            (0, "DECRBY k -9223372036854775808", "-ERR value is not an integer or out of range\r\n"),
            (0, "SET k a NX", "$-1\r\n"),
            (0, "SET k a XX", "+OK\r\n"),
            (0, "SET k a XX NX", "-ERR syntax error\r\n"),
            (0, "INCR k", "-ERR value is not an integer or out of range\r\n"),
            (0, "MSET a 1 b 2", "+OK\r\n"),
            (0, "MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n"),
            (0, "EXISTS a a c", ":2\r\n"),
            (0, "DEL a b c", ":2\r\n"),
            (0, "DBSIZE", ":1\r\n"),
            (0, "STRLEN k", ":1\r\n"),
            (0, "GET", "-ERR wrong number of arguments for 'get' command\r\n"),
            (0, "MSET a", "-ERR wrong number of arguments for 'mset' command\r\n"),
            (0, "BLPOP k", "-ERR unknown command 'BLPOP'\r\n"),
            (0, "SELECT 1", "-ERR DB index is out of range\r\n"),
            (0, "FLUSHALL", "+OK\r\n"),
            (0, "DBSIZE", ":0\r\n"),
        ] {
            assert_eq!(ask(&mut database, now, line), reply, "{line}");
        }
        assert!(ask(&mut database, 0, "INFO").contains("total_commands_processed:26\r\n"));
    }

    #[test]
    fn keys_are_forgotten_at_their_time_and_not_before() {
        let mut database = Database::default();
        for (now, line, reply) in [
            (0, "SET k v EX 2", "+OK\r\n"),
            (400, "TTL k", ":2\r\n"),
            (1999, "PTTL k", ":1\r\n"),
            (2000, "GET k", "$-1\r\n"),
            (2000, "TTL k", ":-2\r\n"),
            (2000, "SET k v PX 10", "+OK\r\n"),
            (2005, "SET k w", "+OK\r\n"),
            (2020, "GET k", "$1\r\nw\r\n"),
            (2020, "TTL k", ":-1\r\n"),
            (2020, "PEXPIRE k 10", ":1\r\n"),
            (2025, "PERSIST k", ":1\r\n"),
            (2025, "PERSIST k", ":0\r\n"),
            (2040, "EXPIRE k 1", ":1\r\n"),
            (2040, "SET k 1 PX 5 XX", "+OK\r\n"),
            (2044, "INCR k", ":2\r\n"),
            (2045, "INCR k", ":1\r\n"),
            (2045, "EXPIRE k 0", ":1\r\n"),
            (2045, "EXPIRE k 1", ":0\r\n"),
            (2045, "SET k v EX 0", "-ERR invalid expire time in 'set' command\r\n"),
            (2045, "DBSIZE", ":0\r\n"),
        ] {
            assert_eq!(ask(&mut database, now, line), reply, "{line} at {now}");
        }
    }
}
