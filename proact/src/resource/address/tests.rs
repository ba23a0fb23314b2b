//! Parsing and formatting, case by case; then whatever bytes a generator comes upon.

use super::*;

/// A text, and what it is written as again.
type Accepted = (&'static str, &'static str);

#[track_caller]
fn accepts(make: impl Fn(&str) -> Result<Address>, cases: &[Accepted]) {
    for (text, written) in cases {
        let address = make(text).unwrap_or_else(|status| panic!("{text:?}: {status}"));
        assert_eq!(address.to_string(), *written, "{text:?}");
        #[cfg(unix)]
        assert_eq!(Address::from_raw(&address.to_raw().unwrap()).unwrap(), address, "{text:?}");
    }
}

#[track_caller]
fn refuses(make: impl Fn(&str) -> Result<Address>, cases: &[&str]) {
    for text in cases {
        match make(text) {
            Ok(address) => panic!("{text:?} was taken for {address}"),
            Err(status) => assert_eq!(status.code(), Code::InvalidArgument, "{text:?}: {status}"),
        }
    }
}

fn parse(text: &str) -> Result<Address> {
    text.parse()
}

#[test]
fn ipv4_hosts_are_four_decimal_numbers() {
    accepts(
        |host| Address::ipv4(host, 80),
        &[("", "0.0.0.0:80"), ("127.0.0.1", "127.0.0.1:80"), ("1.2.3.4", "1.2.3.4:80")],
    );
    let with = |host: &str, port| Address::ipv4(host, port).unwrap().to_string();
    assert_eq!(with("0.0.0.0", 0), "0.0.0.0:0");
    assert_eq!(with("255.255.255.255", 65535), "255.255.255.255:65535");
    assert_eq!(with("192.168.0.1", 0), "192.168.0.1:0");
    assert_eq!(with("192.168.0.1", 443), "192.168.0.1:443");
}

#[test]
fn ipv4_hosts_in_any_other_form_are_refused() {
    refuses(
        |host| Address::ipv4(host, 80),
        &[
            "256.0.0.1",
            "1.2.3.999",
            "1.2.3",
            "1.2.3.4.5",
            "001.002.003.004",
            "1.2.03.4",
            "1.2.3.4x",
            " 1.2.3.4",
            "1.2.3.4 ",
            "1..3.4",
            "0x7f.0.0.1",
            "...",
            "-1.2.3.4",
            "1.2.3.4294967297",
            "1.2.3.4\0",
        ],
    );
}

#[test]
fn ipv6_hosts_are_written_in_the_canonical_form() {
    accepts(
        |host| Address::ipv6(host, 80),
        &[
            ("", "[::]:80"),
            ("::1", "[::1]:80"),
            ("2001:0db8:0000:0000:0000:0000:0000:0001", "[2001:db8::1]:80"),
            ("2001:db8::1:2", "[2001:db8::1:2]:80"),
            ("::2:3", "[::2:3]:80"),
            ("2001:db8::", "[2001:db8::]:80"),
            ("0:0:0:0:0:0:0:0", "[::]:80"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80"),
            ("fe80::1", "[fe80::1]:80"),
            ("2001:DB8::AbCd", "[2001:db8::abcd]:80"),
            ("1:0:2:3:4:5:6:7", "[1:0:2:3:4:5:6:7]:80"),
            ("1:0:0:2:0:0:0:3", "[1:0:0:2::3]:80"),
            ("1:0:0:2:0:0:3:4", "[1::2:0:0:3:4]:80"),
            ("::ffff:192.168.1.2", "[::ffff:192.168.1.2]:80"),
            ("::ffff:127.0.0.1", "[::ffff:127.0.0.1]:80"),
            ("0001:0002:0003:0004:0005:0006:0007:0008", "[1:2:3:4:5:6:7:8]:80"),
        ],
    );
    assert_eq!(Address::ipv6("::1", 65535).unwrap().to_string(), "[::1]:65535");
}

#[test]
fn ipv6_hosts_that_name_no_address_or_several_are_refused() {
    refuses(
        |host| Address::ipv6(host, 80),
        &[
            "1::2::3",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7",
            "12345::1",
            "fe8g::1",
            "1:2:3:4:5:6:7:",
            ":1:2:3:4:5:6:7",
            "1:2:3:4::5:6:7:8:9",
            "::ffff:256.0.0.1",
            "::ffff:1.2.3",
            "1:2:3:4:5:6::7:1.2.3.4",
        ],
    );
    accepts(|host| Address::ipv6(host, 80), &[("1:2:3:4:5:6:1.2.3.4", "[1:2:3:4:5:6:102:304]:80")]);
}

#[test]
fn ipv6_zones_are_numbers_or_interfaces_of_this_machine() {
    accepts(
        |host| Address::ipv6(host, 80),
        &[("fe80::1%3", "[fe80::1%3]:80"), ("fe80::1", "[fe80::1]:80"), ("fe80::1%42", "[fe80::1%42]:80")],
    );
    refuses(|host| Address::ipv6(host, 80), &["fe80::1%", "fe80::1%a-name-of-16-byt", "fe80::1%4294967296", "%1"]);
    assert_eq!(Address::ipv6("fe80::1%no-such-iface", 80).unwrap_err().code(), Code::NotFound);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let index = interface_index("lo").unwrap();
        assert_eq!(Address::ipv6("fe80::1%lo", 80).unwrap().to_string(), format!("[fe80::1%{index}]:80"));
    }
}

#[test]
fn unix_paths_fit_what_the_system_has_for_them() {
    let longest = "x".repeat(103);
    let written = format!("unix:{longest}");
    for (path, text) in [("/run/a.sock", "unix:/run/a.sock"), ("a.sock", "unix:a.sock"), (&*longest, &*written)] {
        assert_eq!(Address::unix(path).unwrap().to_string(), text);
    }
    refuses(|path| Address::unix(path), &["", &"x".repeat(200), "a\0b"]);
    let long = Address::Unix(PathBuf::from("x".repeat(200)));
    assert_eq!(long.to_raw().unwrap_err().code(), if cfg!(unix) { Code::InvalidArgument } else { Code::Unavailable });
}

#[test]
fn abstract_names_are_linuxs_alone() {
    let has_them = cfg!(any(target_os = "linux", target_os = "android"));
    for name in ["@name", "@", "@with\0nul"] {
        let made = Address::unix(name);
        assert_eq!(made.is_ok(), has_them);
        match made {
            Ok(address) => {
                assert_eq!(address.to_string(), format!("unix:{name}"));
                assert_eq!(Address::from_raw(&address.to_raw().unwrap()).unwrap(), address);
            }
            Err(status) => assert_eq!(status.code(), Code::Unavailable),
        }
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let longest = format!("@{}", "x".repeat(107));
        let address = Address::unix(&longest).unwrap();
        assert_eq!(Address::from_raw(&address.to_raw().unwrap()).unwrap(), address);
        assert_eq!(Address::unix(longest + "x").unwrap_err().code(), Code::InvalidArgument);
    }
}

#[test]
fn text_goes_into_exactly_the_room_it_needs() {
    let address = parse("1.2.3.4:80").unwrap();
    assert_eq!(address.format(&mut [0; 10]).unwrap(), "1.2.3.4:80");
    assert_eq!(address.format(&mut [0; 9]).unwrap_err().code(), Code::OutOfRange);
    assert_eq!(address.format(&mut []).unwrap_err().code(), Code::OutOfRange);
    let mut room = [0; 128];
    let begin = room.as_ptr();
    let text = address.format(&mut room).unwrap();
    assert_eq!((text, text.as_ptr()), ("1.2.3.4:80", begin), "it lies where the room begins");
    assert_eq!(Address::Unnamed.format(&mut room).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(parse("[::1]:1").unwrap().format(&mut room).unwrap(), "[::1]:1");
    assert_eq!(parse("[]:0").unwrap().format(&mut room).unwrap(), "[::]:0");
    assert_eq!(parse("[::ffff:1.2.3.4]:5").unwrap().format(&mut room).unwrap(), "[::ffff:1.2.3.4]:5");
}

#[test]
#[cfg(unix)]
fn lengths_that_the_kernel_may_tell_are_understood() {
    // With and without the NUL byte behind a path.
    let mut raw = parse("unix:/a").unwrap().to_raw().unwrap();
    assert_eq!(Address::from_raw(&raw).unwrap().to_string(), "unix:/a");
    raw.length -= 1;
    assert_eq!(Address::from_raw(&raw).unwrap().to_string(), "unix:/a");
    assert_eq!(Address::from_raw(&RawAddress::EMPTY).unwrap(), Address::Unnamed);
    // Less than a family, less than an address, more than there is.
    for length in [1, 4, 129] {
        let raw = RawAddress { length, ..parse("1.2.3.4:5").unwrap().to_raw().unwrap() };
        assert_eq!(Address::from_raw(&raw).unwrap_err().code(), Code::InvalidArgument, "{length}");
    }
}

#[test]
fn texts_name_a_host_and_a_port_or_a_path() {
    accepts(
        parse,
        &[
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("255.255.255.255:65535", "255.255.255.255:65535"),
            (":8080", "0.0.0.0:8080"),
            ("10.0.0.7:5000", "10.0.0.7:5000"),
            ("10.0.0.7:0", "10.0.0.7:0"),
            ("[::1]:80", "[::1]:80"),
            ("[::]:80", "[::]:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("[::ffff:1.2.3.4]:80", "[::ffff:1.2.3.4]:80"),
            ("[fe80::1%3]:80", "[fe80::1%3]:80"),
            ("[2001:0DB8:0:0::1]:80", "[2001:db8::1]:80"),
            ("[1:2:3:4:5:6:7:8]:80", "[1:2:3:4:5:6:7:8]:80"),
            ("[::1]:65535", "[::1]:65535"),
            ("[]:80", "[::]:80"),
            ("unix:/tmp/x.sock", "unix:/tmp/x.sock"),
            ("unix:x.sock", "unix:x.sock"),
        ],
    );
    #[cfg(any(target_os = "linux", target_os = "android"))]
    accepts(parse, &[("unix:@abstract", "unix:@abstract")]);
}

#[test]
fn texts_in_any_other_form_are_refused_and_quoted() {
    let texts = [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:http",
        "127.0.0.1:99999",
        "127.0.0.1:080",
        "127.0.0.1:00",
        "localhost",
        "[::1:80",
        "[::1]",
        "[::1]80",
        "[::1]:",
        "[::1]:http",
        "[::1]:99999",
        "[::1]:080",
        "unix:",
        "1.2.3:80",
        "[1::2::3]:80",
        "::1:80",
        "127.0.0.1:+80",
        "localhost:80",
    ];
    refuses(parse, &texts);
    for text in texts {
        let status = parse(text).unwrap_err();
        assert!(status.to_string().contains(&format!("{text:?}")), "{status}");
    }
}

#[test]
fn what_was_written_is_read_and_written_the_same() {
    let mut texts = vec![
        "127.0.0.1:80",
        "0.0.0.0:0",
        "255.255.255.255:65535",
        "[::1]:80",
        "[2001:db8::]:80",
        "[1:2:3:4:5:6:7:8]:80",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80",
        "[::ffff:1.2.3.4]:80",
        "[fe80::1%9]:80",
        "unix:/tmp/x.sock",
    ];
    if cfg!(any(target_os = "linux", target_os = "android")) {
        texts.push("unix:@abstract");
    }
    for text in texts {
        let address = parse(text).unwrap();
        assert_eq!(address.to_string(), text);
        assert_eq!(parse(&address.to_string()).unwrap(), address);
    }
}

/// A generator of its own for each test, the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[test]
fn whatever_text_is_accepted_comes_back_the_same() {
    const PIECES: [&str; 28] = [
        "1", "0", "25", "255", "256", "00", ".", ".", ".", ":", ":", "::", "[", "]", "]:", "]:80", "%", "%3", "%lo",
        "ffff", "abcd", "F", "unix:", "@", "/a", "x", "\0", "ü",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for _ in 0..50_000 {
        let mut text = String::from(["", "1.2.3.", "[", "[::", "unix:", "10.0.0.1:"][random.below(6)]);
        for _ in 0..random.below(8) {
            text.push_str(PIECES[random.below(PIECES.len())]);
        }
        let port = random.next() as u16;
        for parsed in [parse(&text), Address::ipv4(&text, port), Address::ipv6(&text, port), Address::unix(&text)] {
            let Ok(address) = parsed else { continue };
            accepted += 1;
            let written = address.to_string();
            assert!(!written.is_empty());
            assert_eq!(parse(&written).unwrap(), address, "{text:?} was written as {written:?}");
            #[cfg(unix)]
            assert_eq!(Address::from_raw(&address.to_raw().unwrap()).unwrap(), address, "{text:?}");
        }
    }
    assert!(accepted > 5_000, "only {accepted} were accepted");
}

#[test]
#[cfg(unix)]
fn whatever_bytes_an_address_has_are_told_or_refused() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut told = 0;
    for _ in 0..50_000 {
        let mut raw = RawAddress::EMPTY;
        raw.bytes.iter_mut().for_each(|byte| *byte = random.next() as u8);
        raw.length = random.below(140) as u32;
        let family = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, random.below(60) as i32][random.below(4)];
        let at = std::mem::offset_of!(libc::sockaddr, sa_family);
        let family = (family as libc::sa_family_t).to_ne_bytes();
        raw.bytes[at..at + family.len()].copy_from_slice(&family);
        let Ok(address) = Address::from_raw(&raw) else { continue };
        told += 1;
        assert!(!address.to_string().is_empty());
        let _ = address.format(&mut [0; 64]);
    }
    assert!(told > 10_000, "only {told} were told");
}
