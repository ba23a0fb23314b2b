//! Sets of processors, in the kernel's two spellings: a list of ranges, and a mask of bits.

use std::fmt;
use std::str::FromStr;

use crate::status::{Code, Operation, Result, Status};

/// Numbers of processors. Plain data; as large as its largest number needs.
///
/// It reads and writes lists as the kernel does:
///
/// ```
/// use proact::topology::CpuSet;
/// let cpus: CpuSet = "0-3,8,1030".parse()?;
/// assert_eq!((cpus.len(), cpus.first(), cpus.contains(1030)), (6, Some(0), true));
/// assert_eq!(cpus.to_string(), "0-3,8,1030");
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct CpuSet {
    /// A bit a number. The last word is not zero, so that equal sets are equal.
    words: Vec<u64>,
}

/// More numbers than any kernel counts: what is read from outside stays bounded.
pub(super) const NUMBERS_MAX: usize = 1 << 16;
const BITS: usize = u64::BITS as usize;

impl CpuSet {
    /// No processor.
    pub fn new() -> CpuSet {
        CpuSet::default()
    }

    /// Adds one.
    ///
    /// # Panics
    /// From 65,536 on: no kernel counts so far.
    pub fn insert(&mut self, cpu: usize) {
        assert!(cpu < NUMBERS_MAX, "processor {cpu}");
        let word = cpu / BITS;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (cpu % BITS);
    }

    /// Whether it is in the set.
    pub fn contains(&self, cpu: usize) -> bool {
        self.words.get(cpu / BITS).is_some_and(|word| word >> (cpu % BITS) & 1 == 1)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The least.
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// All of them, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let bits = |(index, word): (usize, &u64)| {
            let word = *word;
            (0..BITS).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index * BITS + bit)
        };
        self.words.iter().enumerate().flat_map(bits)
    }

    /// Those that are in both.
    pub fn intersection(&self, other: &CpuSet) -> CpuSet {
        CpuSet::from_words(self.words.iter().zip(&other.words).map(|(one, other)| one & other).collect())
    }

    /// Those that are not in `other`.
    pub fn difference(&self, other: &CpuSet) -> CpuSet {
        let others = other.words.iter().chain(std::iter::repeat(&0));
        CpuSet::from_words(self.words.iter().zip(others).map(|(one, other)| one & !other).collect())
    }

    fn from_words(mut words: Vec<u64>) -> CpuSet {
        while words.last() == Some(&0) {
            words.pop();
        }
        CpuSet { words }
    }

    /// As the kernel writes it into memory: an array of `unsigned long`, of which bit `n` of word `w` is processor
    /// `w * BITS + n`.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn from_mask(mask: &[libc::c_ulong]) -> CpuSet {
        const WIDTH: usize = libc::c_ulong::BITS as usize;
        let mut words = vec![0u64; (mask.len() * WIDTH).div_ceil(BITS)];
        for (index, part) in mask.iter().enumerate() {
            let at = index * WIDTH;
            #[allow(clippy::unnecessary_cast)] // 32 bits on some
            let part = *part as u64;
            words[at / BITS] |= part << (at % BITS);
        }
        CpuSet::from_words(words)
    }

    /// As the kernel reads it from memory.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn to_mask(&self) -> Vec<libc::c_ulong> {
        const WIDTH: usize = libc::c_ulong::BITS as usize;
        let parts = self.words.iter().flat_map(|word| (0..BITS / WIDTH).map(move |part| word >> (part * WIDTH)));
        parts.map(|part| part as libc::c_ulong).collect()
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> CpuSet {
        let mut set = CpuSet::new();
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }
}

impl FromStr for CpuSet {
    type Err = Status;

    /// A list of numbers and ranges, `0-3,8`, below 65,536; empty for none.
    fn from_str(text: &str) -> Result<CpuSet> {
        let bad = || {
            // A recorded text may be anything: what is shown of it is bounded.
            let shown: String = text.chars().take(80).collect();
            Status::new(Code::InvalidArgument, Operation::None).with_message(format!("no list of numbers: {shown:?}"))
        };
        let mut set = CpuSet::new();
        if text.is_empty() {
            return Ok(set);
        }
        // Digits alone: `parse` takes a sign too.
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<usize>().ok().filter(|number| *number < NUMBERS_MAX),
            false => None,
        };
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => (first..=last).for_each(|cpu| set.insert(cpu)),
                _ => return Err(bad()),
            }
        }
        Ok(set)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while cpus.peek() == Some(&(last + 1)) {
                last += 1;
                cpus.next();
            }
            match last == first {
                true => write!(f, "{separator}{first}")?,
                false => write!(f, "{separator}{first}-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}
