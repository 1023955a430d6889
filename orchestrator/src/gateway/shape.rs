//! Shapes: what requests and answers look like, said once beside the routes. The published document, the pages with its
//! tables, and the console's forms are made from them.

use workflows::saga::BECAUSE;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// Text of at most so many characters.
    Text(u16),
    /// Text that is one of these.
    Choice(&'static [&'static str]),
    /// A whole number from 1.
    Number,
    /// An amount in minor units, from 0.
    Amount,
    /// A whole number, of whatever sign.
    Count,
    /// Yes or no.
    Flag,
    /// A UUID.
    Id,
    /// A moment, as RFC 3339.
    Moment,
    /// One of these.
    One(&'static Shape),
    /// Some of these.
    List(&'static Shape),
    /// A list of UUIDs.
    Ids,
    /// A list of texts.
    Texts,
    /// Names with texts.
    Texted,
    /// Names with moments.
    Moments,
    /// Whatever JSON there is.
    Anything,
}

/// A field of a body, an answer or a query.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Holds,
    /// What it means.
    pub about: &'static str,
    /// How it may look, as it is written in a form.
    pub example: &'static str,
    /// Is a request without it refused?
    pub needed: bool,
    /// May an answer say `null`?
    pub null: bool,
}

/// An object.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What it is called in the document.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// The fields of another shape that it has too.
    pub also: &'static [Field],
}

impl Shape {
    /// An object with these fields.
    #[must_use]
    pub const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        Self { name, fields, also: &[] }
    }

    /// The same, and the fields of another shape. Its own come first where both have one.
    #[must_use]
    pub const fn and(mut self, other: &Self) -> Self {
        self.also = other.fields;
        self
    }

    /// All fields.
    #[must_use]
    pub fn all(&self) -> Vec<&'static Field> {
        let also = self.also.iter().filter(|field| self.fields.iter().all(|known| known.name != field.name));
        self.fields.iter().chain(also).collect()
    }
}

impl Field {
    const fn new(name: &'static str, kind: Holds, about: &'static str, example: &'static str) -> Self {
        Self { name, kind, about, example, needed: false, null: false }
    }

    pub(super) const fn text(name: &'static str, about: &'static str, example: &'static str) -> Self {
        Self::new(name, Holds::Text(200), about, example)
    }

    pub(super) const fn text_to(max: u16, name: &'static str, about: &'static str, example: &'static str) -> Self {
        Self::new(name, Holds::Text(max), about, example)
    }

    pub(super) const fn choice(
        name: &'static str,
        about: &'static str,
        of: &'static [&'static str],
        example: &'static str,
    ) -> Self {
        Self::new(name, Holds::Choice(of), about, example)
    }

    pub(super) const fn number(name: &'static str, about: &'static str, example: &'static str) -> Self {
        Self::new(name, Holds::Number, about, example)
    }

    pub(super) const fn amount(name: &'static str, about: &'static str, example: &'static str) -> Self {
        Self::new(name, Holds::Amount, about, example)
    }

    pub(super) const fn count(name: &'static str, about: &'static str, example: &'static str) -> Self {
        Self::new(name, Holds::Count, about, example)
    }

    pub(super) const fn flag(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Holds::Flag, about, "true")
    }

    pub(super) const fn id(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Holds::Id, about, "0199b0a1-7c3e-7d0e-9a51-2f6a3c1b7e42")
    }

    pub(super) const fn moment(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Holds::Moment, about, "2027-07-01T10:00:00Z")
    }

    pub(super) const fn one(name: &'static str, about: &'static str, shape: &'static Shape) -> Self {
        Self::new(name, Holds::One(shape), about, "")
    }

    pub(super) const fn list(name: &'static str, about: &'static str, shape: &'static Shape) -> Self {
        Self::new(name, Holds::List(shape), about, "")
    }

    pub(super) const fn of_kind(name: &'static str, kind: Holds, about: &'static str, example: &'static str) -> Self {
        Self::new(name, kind, about, example)
    }

    /// Without it, a request is refused.
    #[must_use]
    pub const fn needed(mut self) -> Self {
        self.needed = true;
        self
    }

    /// An answer may say `null` instead.
    #[must_use]
    pub const fn or_null(mut self) -> Self {
        self.null = true;
        self
    }
}

// What many systems say alike.

pub(super) const USER: Field = Field::text("userId", "Whose it is: their subject.", "ada");
pub(super) const CURRENCY: Field = Field::text_to(3, "currency", "The currency's ISO 4217 code.", "KRW").or_null();
pub(super) const REASON: Field = Field::text("reason", "Why it was turned back: a stable code.", "cancelled").or_null();
pub(super) const STAGE: Field = Field::text("stage", "Where its saga is.", "requested");
pub(super) const DEADLINE: Field = Field::moment("deadline", "Until when it waits.").or_null();
pub(super) const VERSION: Field = Field::count("version", "Counts the changes: the entity tag as well.", "1");
pub(super) const REFUNDED: Field = Field::moment("refundedDate", "When the money went back.").or_null();
pub(super) const METHOD: Field =
    Field::text_to(64, "paymentMethod", "The provider's token for a card; the usual one without.", "tok_visa");
pub(super) const MONEY: Shape = Shape::new(
    "Money",
    &[Field::amount("amount_minor", "Minor units.", "3000"), Field::text_to(3, "currency", "ISO 4217 code.", "KRW")],
);
pub(super) const WHY: Field = Field::text(BECAUSE, "Why it is turned back, in your own words.", "The book is damaged.");
