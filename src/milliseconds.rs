//! The one form of a [`Duration`] in a report's JSON: a number of milliseconds, with a fraction.
//!
//! serde's own form is an object of seconds and nanoseconds, which is hard to read and to plot. The
//! key names the unit: `#[serde(rename = "took_ms", with = "crate::milliseconds")]` on `took`.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serializer, de};

pub(crate) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    // Whole nanoseconds divided once give the number with the fewest digits: 12.3, not 12.299999.
    serializer.serialize_f64((duration.as_secs_f64() * 1e9).round() / 1e6)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let milliseconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(milliseconds / 1e3).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::{Deserialize, Serialize};
    use serde_json::json;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Timed {
        #[serde(rename = "took_ms", with = "super")]
        took: Duration,
    }

    #[test]
    fn a_duration_is_a_number_of_milliseconds_and_is_read_back_exactly() {
        for (took, expected) in [
            (Duration::ZERO, 0.0),
            (Duration::from_micros(12_300), 12.3),
            (Duration::from_nanos(1), 0.000_001),
            (Duration::new(3_600, 123_456_789), 3_600_123.456_789),
        ] {
            let json = serde_json::to_value(Timed { took }).expect("a number is valid JSON");
            assert_eq!(json, json!({ "took_ms": expected }));
            let read: Timed = serde_json::from_value(json).expect("it was just written");
            assert_eq!(read.took, took);
        }
    }

    #[test]
    fn a_negative_number_is_refused() {
        assert!(serde_json::from_value::<Timed>(json!({ "took_ms": -1.0 })).is_err());
    }
}
