//! When: days and times as people write them, read in the time zone of the place.

use super::problem::Problem;
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use workflows::booking::Period;

/// A moment in a time zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub at: DateTime<Utc>,
    pub zone: Tz,
}

impl Now {
    /// The days that `7/23~25` or `7/30~8/2` stand for: from the first midnight to the last, so that whoever leaves on a day
    /// and whoever comes on it do not meet. Without a year, those that have not begun yet.
    pub(super) fn days(self, text: &str, year: Option<i32>) -> Option<Period> {
        let (first, last) = text.split_once('~')?;
        let (month, day) = month_day(first)?;
        let (last_month, last_day) = match month_day(last) {
            Some(last) => last,
            None => (month, last.trim().parse().ok()?),
        };
        let of = |year: i32| {
            let begins = NaiveDate::from_ymd_opt(year, month, day)?;
            // Over New Year.
            let next = i32::from((last_month, last_day) < (month, day));
            let ends = NaiveDate::from_ymd_opt(year + next, last_month, last_day)?;
            Period::new(self.moment(begins.and_time(NaiveTime::MIN))?, self.moment(ends.and_time(NaiveTime::MIN))?).ok()
        };
        if let Some(year) = year {
            return of(year);
        }
        let this = self.at.with_timezone(&self.zone).year();
        (this - 1..this + 9).filter_map(of).find(|period| period.from() > self.at)
    }

    /// The slot that begins at `10:00` (the next one), or at `2027-01-05T10:00` in the place's own time.
    pub(super) fn slot(self, text: &str, length: TimeDelta) -> Option<Period> {
        let text = text.trim();
        let begins = match NaiveTime::parse_from_str(text, "%H:%M") {
            Ok(time) => {
                let today = self.at.with_timezone(&self.zone).date_naive();
                let on = |day: NaiveDate| self.moment(day.and_time(time));
                let days = (0..3).filter_map(|days| today.checked_add_days(Days::new(days)));
                days.filter_map(on).find(|begins| *begins > self.at)?
            }
            Err(_) => ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
                .iter()
                .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
                .and_then(|local| self.moment(local))
                .or_else(|| text.parse::<DateTime<Utc>>().ok())?,
        };
        Period::new(begins, begins.checked_add_signed(length)?).ok()
    }

    /// Of a time that comes twice, when clocks are set back, the first.
    fn moment(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        self.zone.from_local_datetime(&local).earliest().map(|moment| moment.to_utc())
    }
}

fn month_day(text: &str) -> Option<(u32, u32)> {
    let (month, day) = text.trim().split_once('/')?;
    Some((month.trim().parse().ok()?, day.trim().parse().ok()?))
}

/// How far ahead something may be booked.
const AHEAD_MAX: TimeDelta = TimeDelta::days(3_653);

/// Refuses what has begun, and what is too far away to mean anything.
pub(super) fn to_come(period: Period, now: DateTime<Utc>, field: &str) -> Result<Period, Problem> {
    let sensible = period.from() > now && period.from() - now <= AHEAD_MAX;
    if sensible { Ok(period) } else { Err(Problem::field(field, "a time that is still to come, within ten years")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        Now { at: "2026-11-21T12:00:00Z".parse().unwrap(), zone: chrono_tz::Asia::Seoul }
    }

    fn shown(period: Option<Period>) -> String {
        period.map_or_else(|| "-".to_owned(), |period| format!("{:?} {:?}", period.from(), period.to()))
    }

    /// Days are those of the place, and end when the next guest may come.
    #[test]
    fn days_are_read_in_the_zone_of_the_place() {
        let read = |text, year| shown(now().days(text, year));
        assert_eq!(read("7/23~25", Some(2027)), "2027-07-22T15:00:00Z 2027-07-24T15:00:00Z");
        assert_eq!(read("7/30 ~ 8/2", Some(2027)), "2027-07-29T15:00:00Z 2027-08-01T15:00:00Z");
        assert_eq!(read("12/30~1/2", Some(2026)), "2026-12-29T15:00:00Z 2027-01-01T15:00:00Z");
        // Without a year: what has not begun.
        assert_eq!(read("7/23~25", None), read("7/23~25", Some(2027)));
        assert_eq!(read("11/20~23", None), read("11/20~23", Some(2027)));
        assert_eq!(read("11/23~25", None), read("11/23~25", Some(2026)));
        assert_eq!(read("2/28~29", None), read("2/28~29", Some(2028)));
        for bad in ["", "7/23", "7/23~23", "13/1~2", "2/30~31", "7-23~25", "7/23~abc", "~", "7/23~25~27"] {
            assert_eq!(read(bad, None), "-", "{bad:?}");
        }
    }

    #[test]
    fn touching_days_do_not_overlap() {
        let (first, next) = (now().days("7/23~25", Some(2027)).unwrap(), now().days("7/25~27", Some(2027)).unwrap());
        assert_eq!(first.to(), next.from());
    }

    #[test]
    fn a_time_is_the_next_one_of_the_place() {
        let read = |text: &str| shown(now().slot(text, TimeDelta::hours(1)));
        // It is nine in the evening there.
        assert_eq!(read("22:00"), "2026-11-21T13:00:00Z 2026-11-21T14:00:00Z");
        assert_eq!(read("10:00"), "2026-11-22T01:00:00Z 2026-11-22T02:00:00Z");
        assert_eq!(read("2027-01-05T10:00"), "2027-01-05T01:00:00Z 2027-01-05T02:00:00Z");
        assert_eq!(read("2027-01-05T10:00:00Z"), "2027-01-05T10:00:00Z 2027-01-05T11:00:00Z");
        for bad in ["", "25:00", "10", "soon", "2027-13-01T10:00"] {
            assert_eq!(read(bad), "-", "{bad:?}");
        }
    }

    proptest::proptest! {
        /// Whatever is written where days or a time are expected: it is refused, or it is a time that ends after it begins and may be
        /// booked.
        #[test]
        fn anything_may_be_written_for_a_time(
            text in "\\PC{0,24}|[0-9~/: T.+-]{0,24}|[0-9]{1,4}/[0-9]{1,3}~([0-9]{1,2}/)?[0-9]{1,3}|[+-]?[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}Z)?",
            year in proptest::option::of(-300_000..300_000_i32),
        ) {
            let read = [now().days(&text, year), now().days(&text, None), now().slot(&text, TimeDelta::hours(1))];
            for period in read.into_iter().flatten() {
                assert!(period.from() < period.to());
                if let Ok(period) = to_come(period, now().at, "time") {
                    assert!(period.from() > now().at && period.from().year() < 2037);
                }
            }
        }

        /// And days that are written as they should be are read.
        #[test]
        fn days_that_there_are_are_read(month in 1..=12_u32, first in 1..=27_u32, nights in 1..=5_u32, year in 2027..2036_i32) {
            let begins = NaiveDate::from_ymd_opt(year, month, first).unwrap();
            let ends = begins + Days::new(nights.into());
            let text = format!("{month}/{first} ~ {}/{}", ends.month(), ends.day());
            let period = now().days(&text, Some(year)).unwrap();
            assert_eq!(period.to() - period.from(), TimeDelta::days(nights.into()));
        }
    }
}
