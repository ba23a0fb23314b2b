//! `proact completions`, as a shell runs what it prints.
#![cfg(unix)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn script(shell: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_proact")).args(["completions", shell]).output().expect("it starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs `input` in `shell`; `None`, reported, where there is no such shell.
fn shell(shell: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let child =
        Command::new(shell).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        println!("SKIPPED {shell}: it is not installed");
        return None;
    };
    // A shell that stops at a syntax error reads no further.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    Some(child.wait_with_output().expect("it ends"))
}

/// What bash offers behind `words`, the last of which is being typed.
fn completed(words: &[&str]) -> Option<Vec<String>> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (last, before) = (words.len() - 1, words.len() - 2);
    let ask = format!(
        "{}\nCOMP_WORDS=({})\nCOMP_CWORD={last}\n_proact proact {} {}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        script("bash"),
        quoted.join(" "),
        quoted[last],
        quoted[before],
    );
    let output = shell("bash", &["--norc", "--noprofile"], &ask)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("UTF-8").lines().map(String::from).collect())
}

#[test]
fn every_script_names_every_command_and_the_shells_at_hand_can_read_it() {
    for name in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = script(name);
        for word in
            ["transfer", "receive", "doctor", "simulate", "run", "inspect", "completions", "chunk-size", "in-flight"]
        {
            assert!(script.contains(word), "{name}: {word} is missing");
        }
        if let "bash" | "zsh" | "fish" = name {
            let Some(output) = shell(name, &["-n"], &script) else { continue };
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let cases: [(&[&str], &[&str]); 4] = [
        (&["proact", "comp"], &["completions"]),
        (&["proact", "transfer", "--ch"], &["--chunk-size"]),
        (&["proact", "receive", "--backend", ""], &["auto", "io_uring", "epoll", "poll"]),
        (&["proact", "completions", "fi"], &["fish"]),
    ];
    for (words, expected) in cases {
        let Some(offered) = completed(words) else { return };
        assert_eq!(offered, expected, "{words:?}");
    }
}
