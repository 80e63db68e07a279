//! What `/metrics` says, sent as OTLP.
//!
//! The text is read back rather than every figure recorded twice, so a search pays for neither a
//! second recorder nor a lock. Invariant: a collector is told what a scrape would have been.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::LAST;
use super::client::Client;
use crate::config::OtlpConfig;

/// Sends them every so often until `shutdown`, and once more then.
pub(super) async fn run(
    config: &OtlpConfig,
    client: &Client,
    figures: impl Fn() -> String,
    began: SystemTime,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(config.metrics_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once, when there is nothing to tell yet.
    ticks.tick().await;
    let send = async || {
        let metrics = read(&figures(), nanos(began), nanos(SystemTime::now()));
        let count = metrics.len();
        let sent = client.send("metrics", message(config, metrics)).await;
        client.count("metrics", &sent, count);
    };
    loop {
        tokio::select! {
            _ = ticks.tick() => send().await,
            () = shutdown.cancelled() => break,
        }
    }
    let _ = tokio::time::timeout(LAST, send()).await;
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn message(config: &OtlpConfig, metrics: Vec<Metric>) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let attributes = vec![
        attribute("service.name", &config.service_name),
        attribute("service.version", version),
    ];
    let scope = InstrumentationScope {
        name: "toolscout".into(),
        version: version.into(),
        ..InstrumentationScope::default()
    };
    let scope = ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() };
    let resource = ResourceMetrics {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec()
}

/// A sample: its name, its labels, its value.
type Sample<'a> = (&'a str, Vec<(&'a str, String)>, f64);

/// The metrics of a text in Prometheus' format.
fn read(text: &str, began: u64, now: u64) -> Vec<Metric> {
    let (mut kinds, mut helps) = (BTreeMap::new(), BTreeMap::new());
    let mut samples: Vec<Sample<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            kinds.extend(rest.split_once(' '));
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            helps.extend(rest.split_once(' '));
        } else if !line.starts_with('#') {
            samples.extend(sample(line));
        }
    }
    let metric = |(name, kind): (&&str, &&str)| {
        let of = |end: &'static str| {
            samples.iter().filter(move |(full, ..)| full.strip_suffix(end) == Some(*name))
        };
        let data = match *kind {
            "counter" => Data::Sum(Sum {
                data_points: of("").map(|sample| point(sample, began, now)).collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            }),
            "gauge" => Data::Gauge(Gauge {
                data_points: of("").map(|sample| point(sample, 0, now)).collect(),
            }),
            "histogram" => Data::Histogram(Histogram {
                data_points: histograms(of("_bucket"), of("_sum"), began, now),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            }),
            _ => return None,
        };
        Some(Metric {
            name: (*name).to_owned(),
            description: helps.get(name).copied().unwrap_or_default().to_owned(),
            unit: if name.contains("_seconds") { "s" } else { "" }.to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    };
    kinds.iter().filter_map(metric).collect()
}

fn point((_, labels, value): &Sample<'_>, began: u64, now: u64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels.iter().map(|(name, value)| attribute(name, value)).collect(),
        start_time_unix_nano: began,
        time_unix_nano: now,
        value: Some(Number::AsDouble(*value)),
        ..NumberDataPoint::default()
    }
}

/// Buckets that each hold what the ones before them hold become buckets with what they have more.
fn histograms<'a>(
    buckets: impl Iterator<Item = &'a Sample<'a>>,
    sums: impl Iterator<Item = &'a Sample<'a>>,
    began: u64,
    now: u64,
) -> Vec<HistogramDataPoint> {
    let mut series: BTreeMap<Vec<(&str, String)>, HistogramDataPoint> = BTreeMap::new();
    for (_, labels, value) in buckets {
        let mut labels = labels.clone();
        let Some(at) = labels.iter().position(|(name, _)| *name == "le") else { continue };
        let (_, bound) = labels.remove(at);
        let point = series.entry(labels).or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, written as one"
        )]
        let held = *value as u64;
        let before: u64 = point.bucket_counts.iter().sum();
        point.bucket_counts.push(held.saturating_sub(before));
        match bound.parse::<f64>() {
            Ok(bound) if bound.is_finite() => point.explicit_bounds.push(bound),
            _ => point.count = held,
        }
    }
    for (_, labels, value) in sums {
        if let Some(point) = series.get_mut(labels) {
            point.sum = Some(*value);
        }
    }
    let points = series.into_iter().map(|(labels, point)| HistogramDataPoint {
        attributes: labels.iter().map(|(name, value)| attribute(name, value)).collect(),
        start_time_unix_nano: began,
        time_unix_nano: now,
        ..point
    });
    points.collect()
}

/// `name{label="value",…} number`.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label, value));
            rest = after;
        }
        rest = &rest[1..];
    }
    Some((name, labels, rest.trim().parse().ok()?))
}

/// A text up to the quote that ends it, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scrape_says_is_what_is_sent() {
        let text = "# HELP a_total how many\n# TYPE a_total counter\n\
            a_total{who=\"x \\\"y\\\" {z},\",b=\"\\\\\\n\"} 3\n\n\
            # TYPE g gauge\ng 1.5\n# TYPE t_seconds histogram\n\
            t_seconds_bucket{r=\"/\",le=\"0.1\"} 2\nt_seconds_bucket{r=\"/\",le=\"1\"} 5\n\
            t_seconds_bucket{r=\"/\",le=\"+Inf\"} 6\nt_seconds_sum{r=\"/\"} 4.5\n\
            t_seconds_count{r=\"/\"} 6\n";
        let metrics = read(text, 1, 2);
        let [a, g, t] = &metrics[..] else { panic!("{metrics:?}") };
        let Some(Data::Sum(sum)) = &a.data else { panic!("{a:?}") };
        assert!(sum.is_monotonic && sum.data_points[0].value == Some(Number::AsDouble(3.0)));
        let labels = &sum.data_points[0].attributes;
        assert_eq!(labels[0], attribute("who", "x \"y\" {z},"));
        assert_eq!(labels[1], attribute("b", "\\\n"));
        assert!(matches!(&g.data, Some(Data::Gauge(gauge)) if gauge.data_points.len() == 1));
        let Some(Data::Histogram(histogram)) = &t.data else { panic!("{t:?}") };
        let point = &histogram.data_points[0];
        assert_eq!(point.bucket_counts, [2, 3, 1]);
        assert_eq!(point.explicit_bounds, [0.1, 1.0]);
        assert_eq!((point.count, point.sum), (6, Some(4.5)));
        assert_eq!(point.attributes, [attribute("r", "/")]);
    }

    /// The recorder's own text, whatever is in a label.
    #[test]
    fn the_recorders_own_text_is_read() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let odd = "a\"b\\c\nd{}=,\u{e9}";
        metrics::with_local_recorder(&recorder, || {
            metrics::gauge!("x", "label" => odd).set(7.0);
        });
        let metrics = read(&recorder.handle().render(), 1, 2);
        let Some(Data::Gauge(gauge)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert_eq!(gauge.data_points[0].attributes, [attribute("label", odd)]);
    }
}
