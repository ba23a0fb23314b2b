//! Owners, times, links and extended attributes.

use std::os::unix::fs::MetadataExt;

use proact::backend::FileKind;
use proact::operation::{
    ChangeFile, GetAttribute, Kind, Link, ListAttributes, Op, ReadLink, RemoveAttribute, SetAttribute, Stat, StatPath,
    attribute_names,
};
use proact::resource::{AttributeMode, File, FileTime};
use proact::status::{Code, Operation};

use crate::bench::Cts;
use crate::cases;
use crate::harness::skip;
use crate::system::is_superuser;

cases![
    times_and_mode_are_set_and_those_not_named_stay,
    nanoseconds_beyond_a_second_change_nothing,
    the_owner_is_set_by_the_superuser_and_refused_to_others.real("users of the operating system"),
    a_hard_link_is_a_second_name_of_the_same_file,
    a_symbolic_link_says_what_it_was_told,
    a_link_at_a_taken_name_already_exists_and_names_both,
    reading_what_is_no_link_is_invalid,
    an_attribute_is_set_told_listed_and_removed.real("extended attributes"),
    attribute_modes_insist.real("extended attributes"),
    an_attribute_that_is_not_there_is_not_found_and_named.real("extended attributes"),
    a_buffer_too_small_for_an_attribute_is_out_of_range.real("extended attributes"),
    an_attribute_name_that_cannot_be_said_is_refused_at_submit.real("extended attributes"),
];

fn times_and_mode_are_set_and_those_not_named_stay(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    let (read, written) =
        (FileTime { seconds: 1_000_000_001, nanoseconds: 5 }, FileTime { seconds: -7, nanoseconds: 999_999_999 });
    cts.get(ChangeFile::new(file.clone()).accessed(read).modified(written).mode(0o640));
    let known = cts.get(Stat::new(file.clone()));
    assert_eq!(known.accessed, read);
    assert_eq!((known.modified_seconds, known.modified_nanoseconds), (-7, 999_999_999));
    assert_eq!(known.mode, 0o640);
    assert!(known.changed.seconds > 1_600_000_000, "{:?}", known.changed);
    cts.get(ChangeFile::new(file.clone()).accessed(FileTime::default()));
    let known = cts.get(Stat::new(file.clone()));
    assert_eq!((known.accessed, known.modified_seconds, known.mode), (FileTime::default(), -7, 0o640));
    cts.get(ChangeFile::new(file));
}

fn nanoseconds_beyond_a_second_change_nothing(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    let before = cts.get(Stat::new(file.clone()));
    // Two of these numbers mean "now" and "leave it" to the system.
    for nanoseconds in [1_000_000_000, (1 << 30) - 1, (1 << 30) - 2, u32::MAX] {
        let time = FileTime { seconds: 5, nanoseconds };
        let change = ChangeFile::new(file.clone()).mode(0o600).accessed(time);
        assert_eq!(cts.fails(change).code(), Code::InvalidArgument);
        assert_eq!(cts.fails(ChangeFile::new(file.clone()).modified(time)).code(), Code::InvalidArgument);
    }
    assert_eq!(cts.get(Stat::new(file)), before);
}

fn the_owner_is_set_by_the_superuser_and_refused_to_others(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    let known = cts.get(Stat::new(file.clone()));
    let truth = std::fs::metadata(cts.path("f")).unwrap();
    assert_eq!((known.owner, known.group), (truth.uid(), truth.gid()));
    // To whom it belongs already: nobody minds.
    cts.get(ChangeFile::new(file.clone()).owner(known.owner).group(known.group));
    if is_superuser() {
        cts.get(ChangeFile::new(file.clone()).owner(4711));
        let known = cts.get(Stat::new(file.clone()));
        assert_eq!((known.owner, known.group), (4711, truth.gid()), "the group stays");
        cts.get(ChangeFile::new(file.clone()).group(4712));
        assert_eq!(cts.get(Stat::new(file)).group, 4712);
    } else {
        let status = cts.fails(ChangeFile::new(file).owner(known.owner + 1));
        assert_eq!(status.code(), Code::PermissionDenied);
    }
}

fn a_hard_link_is_a_second_name_of_the_same_file(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    let (path, second) = (cts.path("f"), cts.path("second"));
    cts.get(Link::hard(&path, &second));
    let (one, other) = (cts.get(Stat::new(file)), cts.get(StatPath::new(&second)));
    assert_eq!((one.inode, one.device, one.links), (other.inode, other.device, 2));
}

fn a_symbolic_link_says_what_it_was_told(cts: &mut Cts) {
    let link = cts.path("link");
    cts.get(Link::symbolic("../no/such place", &link));
    if !cts.config.is_simulated() {
        assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some("../no/such place"));
    }
    assert_eq!(cts.get(ReadLink::new(&link)).to_str(), Some("../no/such place"));
    assert_eq!(cts.get(StatPath::new(&link).no_follow()).kind, FileKind::Link);
    // The longest that the system takes.
    let (long, at) = ("d/".repeat(2000), cts.path("long"));
    cts.get(Link::symbolic(&long, &at));
    assert_eq!(cts.get(ReadLink::new(&at)).to_str(), Some(&*long));
}

fn a_link_at_a_taken_name_already_exists_and_names_both(cts: &mut Cts) {
    cts.file("f", b"x");
    cts.file("taken", b"y");
    let (path, taken) = (cts.path("f"), cts.path("taken"));
    for link in [Link::hard(&path, &taken), Link::symbolic(&path, &taken)] {
        let status = cts.fails(link);
        assert_eq!((status.code(), status.operation()), (Code::AlreadyExists, Operation::FileLink));
        let text = status.to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains(taken.to_str().unwrap()), "{text}");
    }
    assert_eq!(cts.read(taken), b"y");
}

fn reading_what_is_no_link_is_invalid(cts: &mut Cts) {
    cts.file("f", b"x");
    let (path, missing) = (cts.path("f"), cts.path("missing"));
    let status = cts.fails(ReadLink::new(&path));
    assert_eq!((status.code(), status.operation()), (Code::InvalidArgument, Operation::FileReadLink));
    assert_eq!(cts.fails(ReadLink::new(missing)).code(), Code::NotFound);
}

/// A file on a file system that keeps attributes. Skips where there is none.
fn attributed(cts: &mut Cts) -> File {
    let file = cts.file("f", b"x");
    let told = cts.one(SetAttribute::new(file.clone(), "user.probe", b"yes".as_slice(), AttributeMode::Set));
    match told.result {
        Ok(()) => file,
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            skip(format!("the file system of temporary files: {status}"));
        }
    }
}

fn value(cts: &mut Cts, file: &File, name: &str) -> Vec<u8> {
    let told = cts.one(GetAttribute::new(file.clone(), name, vec![0; 100]));
    let length = told.result.unwrap();
    told.kind.buffer[..length].to_vec()
}

fn an_attribute_is_set_told_listed_and_removed(cts: &mut Cts) {
    let file = attributed(cts);
    let long = "x".repeat(60);
    cts.get(SetAttribute::new(file.clone(), "user.one", long.clone(), AttributeMode::Set));
    cts.get(SetAttribute::new(file.clone(), "user.two", Vec::new(), AttributeMode::Set));
    assert_eq!(value(cts, &file, "user.one"), long.as_bytes());
    assert_eq!(value(cts, &file, "user.two"), b"");
    assert_eq!(cts.get(GetAttribute::new(file.clone(), "user.one", Vec::new())), 60, "the length alone");
    let length = cts.get(ListAttributes::new(file.clone(), Vec::new()));
    let told = cts.one(ListAttributes::new(file.clone(), vec![0; length]));
    assert_eq!(told.result.unwrap(), length);
    let mut names: Vec<_> = attribute_names(&told.kind.buffer).filter(|name| *name != "security.selinux").collect();
    names.sort();
    assert_eq!(names, ["user.one", "user.probe", "user.two"]);
    cts.get(RemoveAttribute::new(file.clone(), "user.one"));
    let status = cts.fails(GetAttribute::new(file, "user.one", vec![0; 100]));
    assert_eq!(status.code(), Code::NotFound);
}

fn attribute_modes_insist(cts: &mut Cts) {
    let file = attributed(cts);
    let set = |name: &str, mode| SetAttribute::new(file.clone(), name, b"v".as_slice(), mode);
    assert_eq!(cts.fails(set("user.probe", AttributeMode::Create)).code(), Code::AlreadyExists);
    assert_eq!(cts.fails(set("user.new", AttributeMode::Replace)).code(), Code::NotFound);
    assert_eq!(value(cts, &file, "user.probe"), b"yes");
    cts.get(set("user.new", AttributeMode::Create));
    cts.get(set("user.probe", AttributeMode::Replace));
    assert_eq!(value(cts, &file, "user.probe"), b"v");
}

fn an_attribute_that_is_not_there_is_not_found_and_named(cts: &mut Cts) {
    let file = attributed(cts);
    let told = |status: proact::status::Status| {
        assert_eq!((status.code(), status.operation()), (Code::NotFound, Operation::ExtendedAttribute), "{status}");
        assert!(status.to_string().contains("user.missing"), "{status}");
    };
    told(cts.fails(GetAttribute::new(file.clone(), "user.missing", vec![0; 8])));
    told(cts.fails(RemoveAttribute::new(file, "user.missing")));
}

fn a_buffer_too_small_for_an_attribute_is_out_of_range(cts: &mut Cts) {
    let file = attributed(cts);
    assert_eq!(cts.fails(GetAttribute::new(file.clone(), "user.probe", vec![0; 2])).code(), Code::OutOfRange);
    assert_eq!(cts.fails(ListAttributes::new(file, vec![0; 2])).code(), Code::OutOfRange);
}

fn an_attribute_name_that_cannot_be_said_is_refused_at_submit(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    fn refused<K: Kind>(cts: &mut Cts, kind: K) {
        let refused = cts.submit(Op::new(kind, ())).map(|_| ()).map_err(|refused| refused.status);
        assert_eq!(refused.expect_err("refused").code(), Code::InvalidArgument);
    }
    for name in ["", "user.a\0b"] {
        refused(cts, GetAttribute::new(file.clone(), name, vec![0; 8]));
        refused(cts, SetAttribute::new(file.clone(), name, vec![0; 8], AttributeMode::Set));
        refused(cts, RemoveAttribute::new(file.clone(), name));
    }
}
