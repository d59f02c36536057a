//! One level of a topic template: literal text and the fields in between.

/// A piece of a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    /// Index into the template's list of fields.
    Field(usize),
}

/// What stands between two slashes of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Level(pub(crate) Vec<Part>);

impl Level {
    /// The text when the level holds no field.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Puts the constants of `bound`, indexed by field, in the place of their fields.
    pub(crate) fn bind(&mut self, bound: &[Option<String>]) {
        let mut parts: Vec<Part> = Vec::with_capacity(self.0.len());
        for part in self.0.drain(..) {
            let part = match part {
                Part::Field(field) => match &bound[field] {
                    Some(value) => Part::Literal(value.clone()),
                    None => Part::Field(field),
                },
                literal => literal,
            };
            match (parts.last_mut(), part) {
                (Some(Part::Literal(before)), Part::Literal(text)) => before.push_str(&text),
                (_, part) => parts.push(part),
            }
        }
        self.0 = parts;
    }

    fn prefix(&self) -> &str {
        match self.0.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    fn suffix(&self) -> &str {
        match self.0.last() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// True when some value of the field renders this level to `text`.
    pub(crate) fn may_render(&self, text: &str) -> bool {
        match self.literal() {
            Some(literal) => literal == text,
            None => {
                // A field's value is never empty.
                text.len() > self.prefix().len() + self.suffix().len()
                    && text.starts_with(self.prefix())
                    && text.ends_with(self.suffix())
            }
        }
    }

    /// True when some text can be rendered by both levels.
    pub(crate) fn overlaps(&self, other: &Level) -> bool {
        match (self.literal(), other.literal()) {
            (Some(text), _) => other.may_render(text),
            (_, Some(text)) => self.may_render(text),
            (None, None) => {
                let (a, b) = (self.prefix(), other.prefix());
                let (y, z) = (self.suffix(), other.suffix());
                (a.starts_with(b) || b.starts_with(a)) && (y.ends_with(z) || z.ends_with(y))
            }
        }
    }
}
