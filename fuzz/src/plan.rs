//! Choices that the fuzzer makes beside a client's bytes.

/// Length of the choices at the front of an input.
const CHOICES: usize = 8;

/// Numbers to choose by, repeated without end.
#[derive(Debug, Clone)]
pub(crate) struct Plan<'a> {
    choices: &'a [u8],
    at: usize,
}

impl<'a> Plan<'a> {
    /// Takes the choices off the front of `data`. The rest is the client's.
    pub(crate) fn split(data: &'a [u8]) -> (Self, &'a [u8]) {
        let (choices, rest) = data.split_at(CHOICES.min(data.len()));
        (Self { choices, at: 0 }, rest)
    }

    /// The next choice.
    pub(crate) fn next(&mut self) -> usize {
        let choice = self.choices.get(self.at % CHOICES).copied();
        self.at += 1;
        usize::from(choice.unwrap_or(1))
    }

    /// `bytes` in portions of at least one byte.
    pub(crate) fn portions(mut self, mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        std::iter::from_fn(move || {
            let length = bytes.len().min(1 + self.next() % 64);
            let (portion, rest) = bytes.split_at(length);
            bytes = rest;
            (length > 0).then_some(portion)
        })
    }
}
