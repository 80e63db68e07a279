//! `[learn]`.
//!
//! Invariant: nothing is learned unless that is asked for in so many words.

use std::time::Duration;

use super::error::{ConfigError, Place, Problem};
use super::raw::RawLearn;
use super::server::duration;
use crate::learn::Rules;

/// How evidence is kept where the file says no more than that it is.
const USUAL: Rules = Rules { half_life: Duration::from_hours(30 * 24), max_events: 5_000 };

/// What is learned from use, if anything.
pub(super) fn resolve(
    raw: &RawLearn,
    place: &Place,
    errors: &mut Vec<ConfigError>,
) -> Option<Rules> {
    let half_life = raw.half_life.as_deref().map(|text| duration(text, Duration::from_secs(1)));
    let half_life = half_life.unwrap_or(Ok(USUAL.half_life)).unwrap_or_else(|problem| {
        errors.push(place.at("half_life").error(problem));
        USUAL.half_life
    });
    let max_events = raw.max_events.unwrap_or(USUAL.max_events);
    if max_events == 0 {
        errors.push(place.at("max_events").error(Problem::TooSmall { least: "1" }));
    }
    raw.enabled.unwrap_or(false).then_some(Rules { half_life, max_events })
}

#[cfg(test)]
mod tests {
    use super::super::error::Lines;
    use super::*;

    fn resolved(text: &str) -> (Option<Rules>, usize) {
        let mut errors = Vec::new();
        let place = Place::new("toolscout.toml", Lines::new());
        (resolve(&toml::from_str(text).unwrap(), &place, &mut errors), errors.len())
    }

    #[test]
    fn it_is_off_unless_it_is_switched_on() {
        assert_eq!(resolved("half_life = '1day'"), (None, 0));
        assert_eq!(resolved("enabled = true"), (Some(USUAL), 0));
        let (rules, _) = resolved("enabled = true\nhalf_life = '1day'\nmax_events = 7");
        let wanted = Rules { half_life: Duration::from_hours(24), max_events: 7 };
        assert_eq!(rules, Some(wanted));
        assert_eq!(resolved("half_life = '0s'\nmax_events = 0").1, 2);
    }
}
