//! Choosing cases on the command line: by backend, mask, subject or case.
//!
//! A filter with a `/` in it is `configuration/subject/case`. `configuration` and `subject` are whole names, in which
//! `*` stands for anything; the case is a part of its name. What is left out is any: `epoll/socket`,
//! `io_uring_no_*/file/rename`, `*/stream`. Filters without a `/` are those of any Rust test program: parts of the
//! whole name, or with `--exact` all of it.

use libtest_mimic::{Arguments, Trial};

/// One filter with a `/` in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    configuration: String,
    subject: String,
    case: String,
}

impl Selection {
    /// Reads one, if `text` is one.
    pub fn parse(text: &str) -> Option<Selection> {
        let (configuration, rest) = text.split_once('/')?;
        let (subject, case) = rest.split_once('/').unwrap_or((rest, ""));
        let any = |name: &str| if name.is_empty() { String::from("*") } else { name.to_owned() };
        Some(Selection { configuration: any(configuration), subject: any(subject), case: case.to_owned() })
    }

    /// Whether it takes the trial of this name: `configuration::subject::case`.
    pub fn takes(&self, name: &str) -> bool {
        let mut parts = name.splitn(3, "::");
        let mut part = || parts.next().unwrap_or("");
        matches(&self.configuration, part()) && matches(&self.subject, part()) && part().contains(&self.case)
    }
}

/// Whether `name` is `pattern`, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => {
            let Some(rest) = name.strip_prefix(head) else { return false };
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(tail, &rest[at..]))
        }
    }
}

/// Applies the filter of `arguments`, if it is one of this program's own, and takes it out of them.
pub fn select(arguments: &mut Arguments, mut trials: Vec<Trial>) -> Vec<Trial> {
    if let Some(selection) = arguments.filter.as_deref().and_then(Selection::parse) {
        arguments.filter = None;
        trials.retain(|trial| selection.takes(trial.name()));
    }
    trials
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(filter: &str, name: &str) -> bool {
        Selection::parse(filter).expect("a filter with a slash").takes(name)
    }

    #[test]
    fn configuration_and_subject_are_whole_names() {
        assert!(takes("poll/socket", "poll::socket::a_case"));
        assert!(!takes("poll/socket", "epoll::socket::a_case"));
        assert!(!takes("poll/socket", "poll::sockets::a_case"));
        assert!(!takes("poll/socket", "poll_minimal::socket::a_case"));
        assert!(Selection::parse("socket").is_none());
    }

    #[test]
    fn stars_and_what_is_left_out_stand_for_anything() {
        assert!(takes("io_uring_no_*/file/rename", "io_uring_no_kernel_files::file::a_rename_replaces"));
        assert!(!takes("io_uring_no_*/file/rename", "io_uring::file::a_rename_replaces"));
        assert!(!takes("io_uring_no_*/file/rename", "io_uring_no_kernel_files::file::a_removal"));
        assert!(takes("epoll/", "epoll::nop::x") && takes("/nop", "epoll::nop::x") && takes("*/*/x", "epoll::nop::x"));
        assert!(matches("a*c", "abbc") && matches("*", "") && !matches("a*c", "abb") && matches("**", "ä"));
    }
}
