//! Dates as JavaScript's `toISOString` writes them.

const DAY: i64 = 86_400_000;

/// The date and time of a number of milliseconds since the Unix epoch; `None` beyond the years of four digits.
pub(crate) fn iso_date(millis: i64) -> Option<String> {
    // 0000-03-01 to 9999-12-31.
    if !(-62_162_035_200_000..253_402_300_800_000).contains(&millis) {
        return None;
    }
    let (year, month, day) = civil(millis.div_euclid(DAY));
    let time = millis.rem_euclid(DAY);
    let (hours, minutes) = (time / 3_600_000, time / 60_000 % 60);
    let (seconds, millis) = (time / 1000 % 60, time % 1000);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z"
    ))
}

/// Year, month and day of a number of days since the Unix epoch, in years that begin with March, so that a leap day is a year's last:
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_javascript_writes_them() {
        for (millis, date) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_711_000_000_123, "2024-03-21T05:46:40.123Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (-62_162_035_200_000, "0000-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso_date(millis).as_deref(), Some(date));
        }
        for beyond in [i64::MIN, i64::MAX, 253_402_300_800_000] {
            assert_eq!(iso_date(beyond), None);
        }
    }
}
