//! What may be typed and what is refused.

use super::*;
use clap::CommandFactory;
use proact_vm::standard::DirectoryAccess;

fn transfer(arguments: &[&str]) -> Result<Transfer, Failure> {
    match parse(["proact", "transfer"].iter().chain(arguments)) {
        Ok(Command::Transfer(transfer)) => Ok(transfer),
        Ok(other) => panic!("{other:?} is no transfer"),
        Err(failure) => Err(failure),
    }
}

fn receive(arguments: &[&str]) -> Result<Receive, Failure> {
    match parse(["proact", "receive"].iter().chain(arguments)) {
        Ok(Command::Receive(receive)) => Ok(receive),
        Ok(other) => panic!("{other:?} is no receive"),
        Err(failure) => Err(failure),
    }
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn transfer_of_one_file_has_the_documented_defaults() {
    let transfer = transfer(&["README.md"]).unwrap();
    assert_eq!(transfer.sources, [PathBuf::from("README.md")]);
    assert_eq!((transfer.chunk_size, transfer.in_flight), (1 << 20, 8));
    assert_eq!((transfer.backend, transfer.timeout), (BackendChoice::Auto, Duration::from_secs(30)));
    assert!(!transfer.overwrite && !transfer.resume && !transfer.follow && !transfer.json);
    assert_eq!(transfer.embedded_into(), Some(PathBuf::from("received")));
}

#[test]
fn to_and_into_exclude_each_other() {
    assert_eq!(transfer(&["a", "--to", "host:1", "--into", "b"]).unwrap_err().exit, Exit::Usage);
    assert_eq!(transfer(&["a", "--to", "host:1"]).unwrap().embedded_into(), None);
    assert_eq!(transfer(&["a", "--into", "b"]).unwrap().embedded_into(), Some(PathBuf::from("b")));
}

#[test]
fn chunk_size_and_in_flight_stay_within_their_bounds() {
    for (size, bytes) in [("4KiB", 4096), ("4096", 4096), ("64MiB", 64 << 20), ("3MB", 3_000_000)] {
        assert_eq!(transfer(&["a", "--chunk-size", size]).unwrap().chunk_size, bytes);
    }
    for size in ["0", "4095", "64.5MiB", "65MiB", "5GiB", "99999999999999999999", "-1", "big"] {
        let failure = transfer(&["a", &format!("--chunk-size={size}")]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{size}");
        assert!(failure.message.contains("--chunk-size"), "{failure}");
    }
    for number in ["0", "257", "-3", "x"] {
        assert_eq!(transfer(&["a", &format!("--in-flight={number}")]).unwrap_err().exit, Exit::Usage, "{number}");
    }
    assert_eq!(transfer(&["a", "--in-flight", "256"]).unwrap().in_flight, 256);
}

#[test]
fn backends_are_named_as_the_library_names_them() {
    for choice in [BackendChoice::Auto, BackendChoice::IoUring, BackendChoice::Epoll, BackendChoice::Poll] {
        assert_eq!(transfer(&["a", "--backend", choice.name()]).unwrap().backend, choice);
    }
    let failure = transfer(&["a", "--backend", "kqueue"]).unwrap_err();
    assert!(failure.message.contains("io_uring"), "the message lists what there is: {failure}");
}

#[test]
fn timeouts_are_bounded() {
    assert_eq!(transfer(&["a", "--timeout", "250ms"]).unwrap().timeout, Duration::from_millis(250));
    for timeout in ["0", "0ms", "25h", "soon"] {
        assert_eq!(transfer(&["a", "--timeout", timeout]).unwrap_err().exit, Exit::Usage, "{timeout}");
    }
}

#[test]
fn peers_are_names_or_addresses_with_a_port() {
    for (text, host, port) in [("host:1", "host", 1), ("10.0.0.1:7411", "10.0.0.1", 7411), ("[::1]:80", "::1", 80)] {
        let peer: Peer = text.parse().unwrap();
        assert_eq!((peer.host.as_str(), peer.port), (host, port));
        assert_eq!(peer.to_string(), text);
    }
    for text in
        ["", "host", "host:", ":1", "host:0", "host:65536", "::1:80", "[::1]", "[host]:1", "a b:1", "http://x:1"]
    {
        assert!(text.parse::<Peer>().is_err(), "{text:?}");
    }
}

#[test]
fn receive_listens_on_loopback_unless_told_otherwise() {
    assert_eq!(receive(&["--into", "d"]).unwrap().listen, "127.0.0.1:7411".parse().unwrap());
    assert_eq!(receive(&["--into", "d", "--listen", "0"]).unwrap().listen, "127.0.0.1:0".parse().unwrap());
    assert_eq!(receive(&["--into", "d", "--listen", "[::1]:9"]).unwrap().listen, "[::1]:9".parse().unwrap());
    assert_eq!(receive(&["--into", "d", "--listen", "localhost:9"]).unwrap().listen.port(), 9);
    assert_eq!(receive(&["--into", "d", "--listen", "somewhere"]).unwrap_err().exit, Exit::Usage);
    assert_eq!(receive(&[]).unwrap_err().exit, Exit::Usage, "--into has no default");
}

#[test]
fn an_address_beyond_loopback_needs_insecure_and_says_why() {
    for address in ["0.0.0.0:7411", "192.168.0.1:7411", "[::]:7411", "[::ffff:10.0.0.1]:1"] {
        let failure = receive(&["--into", "d", "--listen", address]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("--insecure") && failure.message.contains("encrypted"), "{failure}");
        assert!(receive(&["--into", "d", "--listen", address, "--insecure"]).is_ok());
    }
    assert!(receive(&["--into", "d", "--listen", "[::ffff:127.0.0.1]:1"]).is_ok());
}

#[test]
fn help_and_version_are_no_failures_and_help_lists_the_exit_codes() {
    let version = parse(["proact", "--version"]).unwrap_err();
    assert_eq!((version.exit, version.message.as_str()), (Exit::Ok, concat!("proact ", env!("CARGO_PKG_VERSION"))));
    for command in ["transfer", "receive"] {
        let help = parse(["proact", command, "--help"]).unwrap_err();
        assert_eq!(help.exit, Exit::Ok);
        assert!(
            help.message.contains("Examples:\n  proact") && help.message.contains("\n  130  interrupted"),
            "{help}"
        );
    }
    let help = parse(["proact", "transfer", "--help"]).unwrap_err();
    assert!(help.message.contains("./received"), "{help}");
}

#[test]
fn usage_failures_have_one_head_and_exit_code_2() {
    for arguments in [&["proact"][..], &["proact", "copy"], &["proact", "transfer"], &["proact", "doctor", "x"]] {
        let failure = parse(arguments).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{arguments:?}");
        assert!(!failure.message.starts_with("error"), "{failure}");
    }
}

#[test]
fn simulate_and_schedule_compare_know_their_options() {
    let command =
        parse(["proact", "simulate", "fork-join", "--width", "2", "--depth", "3", "--lanes", "4", "--queues"]);
    let expected = Simulate {
        scenario: Some("fork-join".into()),
        list: false,
        width: 2,
        depth: 3,
        lanes: Some(4),
        queues: true,
        trace: None,
        json: false,
    };
    assert_eq!(command.unwrap(), Command::Simulate(expected));
    for refused in [&["--width", "0"][..], &["--depth", "x"], &["--lanes", "-1"], &["--list"], &["--tick", "1"]] {
        let failure = parse(["proact", "simulate", "x"].iter().chain(refused)).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{refused:?}");
    }
    let help = parse(["proact", "simulate", "--help"]).unwrap_err();
    assert!(help.message.contains("scenario.schema.json") && help.message.contains("Exit codes:"), "{help}");
    let command = parse(["proact", "schedule-compare", "--plot", "p.svg", "--json"]).unwrap();
    let expected = ScheduleCompare { rounds: 20, markdown: None, plot: Some("p.svg".into()), json: true };
    assert!(command.json());
    assert_eq!(command, Command::ScheduleCompare(expected));
}

#[test]
fn options_of_tls_are_asked_for_together() {
    let fine = transfer(&["a", "--to", "h:1", "--tls-ca", "ca", "--client-cert", "c", "--client-key", "k"]).unwrap();
    assert_eq!((fine.tls_ca, fine.client_key, fine.tls_name), (Some("ca".into()), Some("k".into()), None));
    for alone in [
        &["a", "--tls-ca", "ca"][..],
        &["a", "--to", "h:1", "--client-cert", "c", "--client-key", "k"],
        &["a", "--to", "h:1", "--tls-ca", "ca", "--client-cert", "c"],
        &["a", "--to", "h:1", "--tls-ca", "ca", "--client-key", "k"],
        &["a", "--to", "h:1", "--tls-name", "n"],
    ] {
        assert_eq!(transfer(alone).unwrap_err().exit, Exit::Usage, "{alone:?}");
    }
    for alone in [&["--tls-cert", "c"], &["--tls-key", "k"], &["--tls-client-ca", "ca"]] {
        assert_eq!(receive(&[&["--into", "d"], &alone[..]].concat()).unwrap_err().exit, Exit::Usage, "{alone:?}");
    }
    let beyond = ["--into", "d", "--listen", "0.0.0.0:1", "--tls-cert", "c", "--tls-key", "k"];
    let failure = receive(&beyond).unwrap_err();
    assert!(failure.message.contains("--tls-client-ca") && failure.message.contains("--insecure"), "{failure}");
    assert!(receive(&[&beyond[..], &["--tls-client-ca", "ca"]].concat()).is_ok());
}

#[test]
fn completions_know_five_shells() {
    use clap_complete::Shell;
    for (name, shell) in [
        ("bash", Shell::Bash),
        ("elvish", Shell::Elvish),
        ("fish", Shell::Fish),
        ("powershell", Shell::PowerShell),
        ("zsh", Shell::Zsh),
    ] {
        let command = parse(["proact", "completions", name]).unwrap();
        assert_eq!(command, Command::Completions(Completions { shell }));
        assert!(!command.json());
    }
    let failure = parse(["proact", "completions", "cmd"]).unwrap_err();
    assert!(failure.exit == Exit::Usage && failure.message.contains("powershell"), "{failure}");
}

#[test]
fn bench_and_doctor_know_their_options() {
    let command = parse(["proact", "bench", "--filter", "nop", "--backend", "epoll", "--json"]).unwrap();
    let expected = Bench {
        filter: Some("nop".into()),
        exact: false,
        backend: BackendChoice::Epoll,
        mask: Vec::new(),
        baseline: None,
        json: true,
    };
    assert_eq!(command, Command::Bench(expected));
    let exact = parse(["proact", "bench", "--exact", "--filter", "nop/1"]).unwrap();
    assert!(matches!(exact, Command::Bench(Bench { exact: true, .. })));
    assert!(parse(["proact", "bench", "--exact"]).unwrap_err().message.contains("--filter"));
    assert_eq!(parse(["proact", "doctor"]).unwrap(), Command::Doctor(Doctor { json: false }));
    assert!(command.json());
}

#[test]
fn bench_takes_masks_by_the_names_that_doctor_prints_and_lists_them_when_there_is_no_such() {
    let arguments = ["proact", "bench", "--mask", "kernel_chains", "--mask", "KERNEL_FILES", "--baseline", "old.json"];
    let Command::Bench(bench) = parse(arguments).unwrap() else { panic!("another command") };
    assert_eq!(bench.mask, [Capabilities::KERNEL_CHAINS, Capabilities::KERNEL_FILES]);
    assert_eq!(bench.baseline, Some("old.json".into()));
    let refused = parse(["proact", "bench", "--mask", "chains"]).unwrap_err();
    assert!(refused.message.contains("they are kernel_chains, "), "{refused}");
}

#[test]
fn run_and_inspect_know_their_options() {
    let arguments = ["proact", "run", "m.wasm", "--function", "f", "--input", "1", "-2.5", "--fuel", "7", "--json"];
    let granted = ["--dir", "a=b=c", "--dir", "d=/e:rw", "--connect", "10.0.0.0/8:1-2", "--log", "off"];
    let semaphores = ["--semaphore", "go", "--semaphore", "done=7", "--signal", "go=1@500ms", "--signal", "done=8"];
    let command = parse(arguments.iter().chain(&granted).chain(&semaphores)).unwrap();
    let directory = |name: &str, path: &str, access| GrantedDirectory { name: name.into(), path: path.into(), access };
    let expected = Run {
        module: "m.wasm".into(),
        function: "f".into(),
        inputs: vec!["1".into(), "-2.5".into()],
        deadline: None,
        fuel: Some(7),
        memory: 64 << 20,
        directories: vec![
            directory("a", "b=c", DirectoryAccess::ReadOnly),
            directory("d", "/e", DirectoryAccess::ReadWrite),
        ],
        connect: vec!["10.0.0.0/8:1-2".parse().unwrap()],
        listen: Vec::new(),
        semaphores: vec![
            NamedSemaphore { name: "go".into(), value: 0 },
            NamedSemaphore { name: "done".into(), value: 7 },
        ],
        signals: vec![
            PlannedSignal { name: "go".into(), value: 1, after: Some(Duration::from_millis(500)) },
            PlannedSignal { name: "done".into(), value: 8, after: None },
        ],
        log: LogChoice::Off,
        trace: None,
        json: true,
    };
    assert!(command.json());
    assert_eq!(command, Command::Run(expected));
    let Command::Run(run) = parse(["proact", "run", "m", "--function", "f", "--deadline", "2s"]).unwrap() else {
        panic!("another command")
    };
    assert_eq!((run.deadline, run.inputs, run.log), (Some(Duration::from_secs(2)), Vec::new(), LogChoice::Info));
    for refused in [
        &["--memory", "5GiB"][..],
        &["--fuel", "0"],
        &["--deadline", "25h"],
        &["--dir", "."],
        &["--semaphore", ""],
        &["--semaphore", "=1"],
        &["--semaphore", "go=-1"],
        &["--semaphore", "go=+1"],
        &["--semaphore", "go=9223372036854775808"],
        &["--signal", "go"],
        &["--signal", "go=1@"],
        &["--signal", "go=1@soon"],
    ] {
        let failure = parse(["proact", "run", "m", "--function", "f"].iter().chain(refused)).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{refused:?}");
    }
    let help = parse(["proact", "run", "--help"]).unwrap_err();
    assert!(
        help.message.contains("--dir") && help.message.contains("is refused") && help.message.contains("Exit codes:"),
        "{help}"
    );
    let inspect = Inspect { module: "m.wasm".into(), json: true };
    assert_eq!(parse(["proact", "inspect", "m.wasm", "--json"]).unwrap(), Command::Inspect(inspect));
}
