//! What customers read: one file of words per language, by system, stage and reason.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::LazyLock};
use workflows::contracts::notification::{Money, Notice};

/// A language that we write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Korean.
    Ko,
}

impl Language {
    /// As written in the table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ko => "ko",
        }
    }

    /// The language of this name; English where it is none of ours.
    #[must_use]
    pub fn named(name: &str) -> Self {
        if name == Self::Ko.as_str() { Self::Ko } else { Self::En }
    }

    fn words(self) -> &'static Words {
        static EN: LazyLock<Words> = LazyLock::new(|| read(include_str!("words/en.json")));
        static KO: LazyLock<Words> = LazyLock::new(|| read(include_str!("words/ko.json")));
        match self {
            Self::En => &EN,
            Self::Ko => &KO,
        }
    }
}

type Words = BTreeMap<String, String>;

fn read(text: &str) -> Words {
    serde_json::from_str(text).expect("words that a test has read")
}

/// The line above a mail.
#[must_use]
pub fn subject(notice: &Notice, language: Language) -> &'static str {
    find(language, &notice.system, "subject").unwrap_or_default()
}

/// What a message says: the words of its system, stage and reason, as far as there are particular ones.
#[must_use]
pub fn text(notice: &Notice, language: Language) -> String {
    let because = notice.reason.as_deref().map(|reason| format!("{}.{reason}", notice.stage));
    let particular = because.and_then(|because| find(language, &notice.system, &because));
    let words = particular.or_else(|| find(language, &notice.system, &notice.stage));
    let item = notice.item_name.as_deref().or_else(|| find(language, &notice.system, "item")).unwrap_or_default();
    let money = match notice.money {
        Money::NotTaken => "money.not_taken",
        Money::Refunded => "money.refunded",
        Money::WrittenOff => "money.written_off",
    };
    let money = find(language, &notice.system, money).unwrap_or_default();
    // The item's name comes last: it may hold braces of its own.
    words.map_or_else(
        || format!("\"{item}\": {}", notice.stage),
        |words| words.replace("{money}", money).replace("{item}", item),
    )
}

fn find(language: Language, system: &str, key: &str) -> Option<&'static str> {
    let words = language.words();
    words.get(&format!("{system}.{key}")).or_else(|| words.get(&format!("any.{key}"))).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use workflows::{
        cinema::Cinema, matching::Matching, parcel::Parcel, rental::Rental, resort::Resort, saga::Booking, salon::Salon,
    };

    fn announced<B: Booking>() -> impl Iterator<Item = (&'static str, &'static str)> {
        B::ANNOUNCED.iter().map(|stage| (B::SYSTEM, *stage))
    }

    /// CN-N5, HS-N4: whatever a system announces, there are words for it in every language.
    #[test]
    fn every_announced_stage_has_words_in_both_languages() {
        let all = announced::<Rental>().chain(announced::<Resort>()).chain(announced::<Cinema>());
        let all = all.chain(announced::<Matching>()).chain(announced::<Salon>()).chain(announced::<Parcel>());
        for (system, stage) in all {
            for language in [Language::En, Language::Ko] {
                assert!(find(language, system, stage).is_some(), "{} of {system} in {}", stage, language.as_str());
                assert!(find(language, system, "subject").is_some());
            }
        }
    }

    #[test]
    fn both_languages_say_the_same_things() {
        let keys = |language: Language| language.words().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(Language::En), keys(Language::Ko));
        for (key, english) in Language::En.words() {
            let korean = &Language::Ko.words()[key];
            for part in ["{item}", "{money}"] {
                assert_eq!(english.contains(part), korean.contains(part), "{key}: {part}");
            }
        }
    }
}
