use std::sync::Arc;

use oorandom::Rand32;
use proact::status::Code;

use super::*;
use crate::error::Result;
use crate::value::{Buffer, ElementType, List, Ref, Value};

fn parse(text: &str) -> Convention {
    text.parse().unwrap()
}

fn code(text: &str) -> Code {
    text.parse::<Convention>().unwrap_err().code()
}

fn size(arguments: &str, spans: &[usize]) -> usize {
    parse(&format!("0{arguments}")).arguments().size(spans).unwrap()
}

#[test]
fn the_sizes_that_are_pinned() {
    assert_eq!(size("Ii", &[]), 16);
    assert_eq!(size("iI", &[]), 16);
    assert_eq!(size("iri", &[]), 32);
    assert_eq!(size("CiriD", &[2]), 64, "tuples are not padded themselves");
    assert_eq!([0, 1, 2].map(|count| size("CfD", &[count])), [4, 8, 12]);
}

#[test]
fn sizes_of_each_letter_and_of_nothing() {
    for (letter, bytes) in [("i", 4), ("f", 4), ("I", 8), ("F", 8), ("r", 16), ("v", 0), ("", 0)] {
        assert_eq!(size(letter, &[]), bytes, "{letter}");
    }
    assert_eq!(size("ifI", &[]), 16);
    assert_eq!(size("iCID", &[0]), 8, "the elements' place is aligned though there are none");
    assert_eq!(size("CIiDi", &[3]), 56, "8: 12, then 16 and 16 more, then one more i");
}

/// Lays members out one after another, as the definition says it.
fn size_by_walking(fragment: &Fragment, spans: &[usize]) -> usize {
    let (mut offset, mut largest, mut spans) = (0usize, 1, spans.iter());
    for item in fragment.items() {
        match item {
            Item::One(letter) => {
                offset = offset.next_multiple_of(letter.align()) + letter.size();
                largest = largest.max(letter.align());
            }
            Item::Span(letters) => {
                let align = letters.iter().map(|letter| letter.align()).max().unwrap();
                largest = largest.max(align).max(4);
                offset = (offset.next_multiple_of(4) + 4).next_multiple_of(align);
                for letter in (0..*spans.next().unwrap()).flat_map(|_| letters) {
                    offset = offset.next_multiple_of(letter.align()) + letter.size();
                }
            }
        }
    }
    offset.next_multiple_of(largest)
}

#[test]
fn nothing_is_spelled_in_several_ways() {
    for text in ["", "0", "0v", "0v_v", "0_v", "0_"] {
        assert_eq!(parse(text), Convention::default(), "{text:?}");
    }
    assert_eq!(parse("0vi_Iv").to_string(), "0i_I");
    assert_eq!(parse("0CvrD"), parse("0CrD"));
}

#[test]
fn what_is_no_convention_is_refused_with_its_place() {
    assert_eq!(code("1"), Code::Unimplemented);
    assert_eq!(code("ä"), Code::Unimplemented);
    for text in ["0x", "0ä", "0C", "0CiD_CiD", "0CCiDD", "0D", "0CD", "0CvD", "0i_i_i", "0Ci_iD", "0 i", "0i.i"] {
        assert_eq!(code(text), Code::InvalidArgument, "{text:?}");
    }
    assert_eq!(code(&format!("0{}", "i".repeat(1 << 16))), Code::InvalidArgument);
    let error = "0iI_x".parse::<Convention>().unwrap_err();
    assert!(error.to_string().starts_with("calling convention \"0iI_x\": an unknown letter at 4"), "{error}");
}

#[test]
fn a_span_leaves_the_count_open_and_must_be_told_for_the_size() {
    let convention = parse("0iCrDi_I");
    assert!(convention.arguments().is_variadic());
    assert_eq!(convention.arguments().count().unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(convention.results().count().unwrap(), 1);
    assert_eq!(convention.arguments().size(&[]).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(convention.arguments().size(&[1, 1]).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(convention.arguments().size(&[usize::MAX]).unwrap_err().code(), Code::InvalidArgument);
}

const ALPHABET: &[u8] = b"00vviIfFrCD__x";

/// Any text: the parser answers, and what it takes it spells the same for ever.
#[test]
fn any_text_is_parsed_or_refused() {
    let mut taken = 0;
    for seed in 0..20_000 {
        let mut random = Rand32::new(seed);
        let length = random.rand_range(0..24) as usize;
        let mut text: String = (0..length).map(|_| pick(&mut random, ALPHABET) as char).collect();
        if random.rand_range(0..4) != 0 {
            text.insert(0, '0');
        }
        if let Ok(convention) = text.parse::<Convention>() {
            taken += 1;
            let spelled = convention.to_string();
            assert_eq!(spelled.parse::<Convention>().unwrap(), convention, "seed {seed}: {text:?} as {spelled:?}");
            assert!(!convention.results().is_variadic(), "seed {seed}");
        }
    }
    assert!((1000..19_000).contains(&taken), "{taken} of 20000: the texts are not such as to tell anything");
}

fn pick(random: &mut Rand32, from: &[u8]) -> u8 {
    from[random.rand_range(0..from.len() as u32) as usize]
}

fn value(random: &mut Rand32, letter: Letter, object: &Arc<Buffer>) -> Value {
    match letter {
        Letter::I32 => Value::I32(random.rand_u32() as i32),
        Letter::I64 => Value::I64(i64::from(random.rand_u32()) << 20),
        Letter::F32 => Value::F32(random.rand_float()),
        Letter::F64 => Value::F64(f64::from(random.rand_float()) + 2.0),
        Letter::Ref if random.rand_range(0..4) == 0 => Value::Ref(Ref::NULL),
        Letter::Ref => object.clone().into(),
    }
}

fn list(values: Vec<Value>) -> Value {
    let list = List::new(ElementType::Any);
    values.into_iter().for_each(|value| list.push(value).unwrap());
    Ref::new(list).into()
}

/// What was packed, read back by the letters.
fn read(fragment: &Fragment, packed: &mut Packed) -> Result<Vec<Value>> {
    let mut reader = packed.reader();
    let mut values = Vec::new();
    let mut one = |letter: Letter, reader: &mut Reader<'_>| {
        values.push(match letter {
            Letter::I32 => reader.next_i32()?.into(),
            Letter::I64 => reader.next_i64()?.into(),
            Letter::F32 => reader.next_f32()?.into(),
            Letter::F64 => reader.next_f64()?.into(),
            Letter::Ref => reader.next_ref()?.into(),
        });
        Ok::<_, crate::Error>(())
    };
    for item in fragment.items() {
        match item {
            Item::One(letter) => one(*letter, &mut reader)?,
            Item::Span(letters) => {
                let align = letters.iter().map(|letter| letter.align()).max().unwrap();
                for _ in 0..reader.next_span(align)? {
                    letters.iter().try_for_each(|letter| one(*letter, &mut reader))?;
                }
            }
        }
    }
    Ok(values)
}

#[test]
fn what_a_host_packs_has_the_size_of_its_layout_and_is_read_back() {
    for seed in 0..2_000 {
        let mut random = Rand32::new(seed);
        let object = Arc::new(Buffer::zeroed(1).unwrap());
        let mut text = String::from("0");
        for _ in 0..random.rand_range(0..6) {
            if random.rand_range(0..3) > 0 {
                text.push(pick(&mut random, b"iIfFr") as char);
                continue;
            }
            let letters = random.rand_range(1..4);
            let letters: String = (0..letters).map(|_| pick(&mut random, b"iIfFr") as char).collect();
            text.push_str(&format!("C{letters}D"));
        }
        let convention = parse(&text);
        let (mut inputs, mut flat, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        for item in convention.arguments().items() {
            let mut make = |letter: &Letter| {
                let value = value(&mut random, *letter, &object);
                flat.push(value.clone());
                value
            };
            match item {
                Item::One(letter) => inputs.push(make(letter)),
                Item::Span(letters) => {
                    let count = flat_count(seed, spans.len());
                    spans.push(count);
                    inputs.push(list(match &letters[..] {
                        [letter] => (0..count).map(|_| make(letter)).collect(),
                        letters => (0..count).map(|_| list(letters.iter().map(&mut make).collect())).collect(),
                    }));
                }
            }
        }
        let mut packed = Packed::new();
        pack(convention.arguments(), &inputs, &mut packed).unwrap();
        let expected = convention.arguments().size(&spans).unwrap();
        assert_eq!(packed.len(), expected, "seed {seed}: {text} {spans:?}");
        assert_eq!(expected, size_by_walking(convention.arguments(), &spans), "seed {seed}: {text} {spans:?}");
        drop(inputs);
        assert_eq!(read(convention.arguments(), &mut packed).unwrap(), flat, "seed {seed}: {text}");
        assert_eq!(packed.reference_count(), 0, "seed {seed}: all were taken");

        // Half read, and then forgotten: nothing is left.
        drop(flat);
        packed.clear();
        assert_eq!(Arc::strong_count(&object), 1, "seed {seed}");
    }
}

fn flat_count(seed: u64, span: usize) -> usize {
    ((seed >> (2 * span)) & 3) as usize
}

#[test]
fn wrong_bytes_are_an_error_and_make_no_reference() {
    for seed in 0..2_000 {
        let mut random = Rand32::new(seed);
        let object = Arc::new(Buffer::zeroed(1).unwrap());
        let mut packed = Packed::new();
        for _ in 0..random.rand_range(0..8) {
            match random.rand_range(0..3) {
                0 => packed.push_i32(random.rand_range(0..4) as i32),
                1 => packed.push_i64(i64::from(random.rand_range(0..4))),
                _ => packed.push_ref(object.clone().into()),
            }
        }
        let convention = parse("0irCriDIr");
        // Either the bytes happen to fit, or an error says that they do not.
        let taken = read(convention.arguments(), &mut packed);
        if let Err(error) = &taken {
            assert_eq!(error.code(), Code::Internal, "seed {seed}");
        }
        let references = packed.reference_count();
        assert!(Arc::strong_count(&object) > references, "seed {seed}");
        drop(taken);
        packed.clear();
        assert_eq!(Arc::strong_count(&object), 1, "seed {seed}");
    }
}

#[test]
fn typed_values_are_packed_as_a_hosts_are() {
    type All = (i32, i64, Vec<(i32, Ref, i32)>, f32, Option<Arc<Buffer>>, Vec<f64>);
    let mut spelled = String::from("0");
    All::letters(&mut |letters| spelled.push_str(letters));
    assert_eq!(spelled, "0iICiriDfrCFD");
    let convention = parse(&spelled);
    let buffer = Arc::new(Buffer::zeroed(3).unwrap());
    let typed: All = (1, 2, vec![(3, buffer.clone().into(), 4), (5, Ref::NULL, 6)], 7.5, None, vec![8.5]);
    let mut packed = Packed::new();
    typed.put(&mut packed).unwrap();
    let tuple = |a: i32, reference: Ref, b: i32| list(vec![a.into(), reference.into(), b.into()]);
    let inputs = [
        Value::I32(1),
        Value::I64(2),
        list(vec![tuple(3, buffer.clone().into(), 4), tuple(5, Ref::NULL, 6)]),
        Value::F32(7.5),
        Value::Ref(Ref::NULL),
        list(vec![Value::F64(8.5)]),
    ];
    let mut by_host = Packed::new();
    pack(convention.arguments(), &inputs, &mut by_host).unwrap();
    assert_eq!(packed.len(), by_host.len());
    let back = <All as Arguments>::take(&mut by_host.reader()).unwrap();
    assert_eq!((back.0, back.1, back.2.len(), back.3, back.4.is_none(), &back.5[..]), (1, 2, 2, 7.5, true, &[8.5][..]));
    assert_eq!(back.2[0].1, Ref::from(buffer));
    assert!(back.2[1].1.is_null());
}

#[test]
fn a_tuple_of_a_span_has_all_its_members() {
    let convention = parse("0CiID");
    let mut packed = Packed::new();
    let refused = |element: Value, packed: &mut Packed| {
        let error = pack(convention.arguments(), &[list(vec![element])], packed).unwrap_err();
        (error.code(), error.to_string())
    };
    let (code, words) = refused(list(vec![Value::I32(1)]), &mut packed);
    assert_eq!(code, Code::InvalidArgument);
    assert!(words.starts_with("input 0: element 0: 1 members, where a tuple has 2"), "{words}");
    assert_eq!(refused(Value::I32(1), &mut packed).0, Code::InvalidArgument);
    let no_list = pack(convention.arguments(), &[Value::Ref(Ref::NULL)], &mut packed).unwrap_err();
    assert_eq!(no_list.code(), Code::InvalidArgument, "an empty span is an empty list");
}

#[test]
fn a_type_that_is_not_the_references_is_refused() {
    let mut packed = Packed::new();
    Arguments::put((Ref::new(List::new(ElementType::Any)),), &mut packed).unwrap();
    let error = <(Arc<Buffer>,) as Arguments>::take(&mut packed.reader()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.to_string().contains("expected a reference to vm.buffer, found vm.list"));
    let mut packed = Packed::new();
    Arguments::put((Ref::NULL,), &mut packed).unwrap();
    assert!(<(Arc<Buffer>,) as Arguments>::take(&mut packed.reader()).is_err(), "null is no buffer");
    let mut packed = Packed::new();
    Arguments::put((2,), &mut packed).unwrap();
    assert_eq!(<(bool,) as Arguments>::take(&mut packed.reader()).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn memory_is_kept_for_the_next_values_but_not_that_of_giants() {
    let mut packed = Packed::new();
    let fill = |packed: &mut Packed, count: usize| {
        for _ in 0..count {
            packed.push_ref(Ref::new(List::new(ElementType::Any)));
        }
        packed.clear();
        packed.capacity()
    };
    let small = fill(&mut packed, 1000);
    assert!(small.0 >= 16_000 && small.1 >= 1000);
    assert_eq!(fill(&mut packed, 1000), small);
    assert_eq!(fill(&mut packed, 100_000), (64 << 10, 4 << 10));
}
