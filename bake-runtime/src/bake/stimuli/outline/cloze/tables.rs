//! Words of places, times and quantities, each in small letters and of one thing.

/// What a place begins with.
pub(super) const PLACES: &[&str] = &[
    "in", "on", "at", "behind", "above", "under", "near", "beside", "below", "inside", "outside",
    "between", "opposite",
];

/// What a place is not named by.
pub(super) const NO_PLACES: &[&str] =
    &["all", "back", "first", "home", "last", "least", "most", "once", "place", "top"];

/// What a time begins with.
pub(super) const TIMES: &[&str] =
    &["until", "till", "before", "after", "from", "since", "within", "by"];

/// Words of which one makes a time of what would be a place.
pub(super) const WHEN: &[&str] = &[
    "spring", "summer", "autumn", "winter", "morning", "noon", "evening", "night", "day", "week",
    "month", "year", "hour", "time", "weekend",
];

/// Days and months.
pub(super) const WEEKDAYS: &[&str] =
    &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
pub(super) const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// What is counted.
pub(super) const MONEY: &[&str] =
    &["euro", "eur", "€", "dollar", "usd", "$", "pound", "gbp", "£", "cent", "percent", "%"];
pub(super) const DURATIONS: &[&str] =
    &["second", "minute", "hour", "day", "night", "week", "month", "year"];
pub(super) const HALVES_OF_DAY: &[&str] = &["am", "pm", "a.m", "p.m", "o'clock"];
pub(super) const MEASURES: &[&str] = &[
    "gram",
    "kilogram",
    "kg",
    "pound",
    "ounce",
    "litre",
    "liter",
    "millilitre",
    "ml",
    "tablespoon",
    "teaspoon",
    "cup",
    "metre",
    "meter",
    "kilometre",
    "kilometer",
    "km",
    "centimetre",
    "centimeter",
    "cm",
    "millimetre",
    "mm",
    "inch",
    "foot",
    "mile",
    "degree",
    "volt",
    "watt",
    "bar",
];
