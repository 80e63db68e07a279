//! The picture of the catalog over HTTP, and where a query stands in it.
//!
//! Invariant: what is told is of the present generation of the caller's view, and says whether it
//! is all; the lists of an answer are parallel, an entry a tool, ordered by id.

use axum::extract::RawQuery;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::formats;
use super::http::{self, Params};
use super::observe::Lifted;
use super::problem::Problem;
use super::scope::{self, Scoped};
use crate::catalog::{Catalog, ToolIdx};
use crate::index::picture::Point;
use crate::live::Live;
use crate::live::pictures::Seen;
use crate::search::Query;

/// So many steps of a coordinate are one unit of the layout.
const STEPS: f32 = 100.0;
/// How the points come about, for whoever reads a picture.
const METHOD: &str = "t-SNE of the 15 nearest neighbours by cosine";

/// What there is of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MapState {
    /// It is as it should be.
    Ready,
    /// It is being drawn: ask again in a moment.
    Drawing,
    /// No tool has a vector, so there is nothing to draw.
    NoVectors,
}

/// The picture of the catalog. `server`, `name`, `x` and `y` have an entry for each point.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Map<'a> {
    /// What there is of it.
    pub state: MapState,
    /// Why there are no vectors, and what mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The generation that is shown.
    pub generation: u64,
    /// How the points were laid out.
    pub method: &'static str,
    /// Tools in the catalog; those without a vector have no point.
    pub tools: usize,
    /// The servers that have points, by id.
    pub servers: Vec<&'a str>,
    /// Of each point: the place of its server in `servers`.
    pub server: Vec<u32>,
    /// Of each point: the tool's name at that server; its id is `server/name`.
    pub name: Vec<&'a str>,
    /// Of each point: across, from left to right.
    pub x: Vec<i32>,
    /// Of each point: up, from below.
    pub y: Vec<i32>,
    /// Near-duplicates, as places in the lists above; the largest group first.
    pub groups: Vec<Vec<u32>>,
}

/// Where a query stands.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MapPlace {
    /// The generation that is shown.
    pub generation: u64,
    /// Across and up: between the tools whose vectors are nearest to the query's; `null` where
    /// that can't be told now.
    pub at: Option<[i32; 2]>,
    /// Why it can't, and what mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `GET /v1/map`
pub async fn map(
    Scoped(live): Scoped,
    lifted: Lifted,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::parse(query.as_deref(), &[scope::PROFILE])?;
    if !live.is_ready() {
        return Err(Problem::not_ready());
    }
    let seen = live.picture().await;
    let reason = live.status().reason;
    // A large one takes a while to write.
    formats::aside(&lifted, true, move || match &seen {
        Seen::Drawn(picture) => {
            let groups = &picture.groups;
            let (generation, catalog) = (picture.generation, &*picture.catalog);
            Ok(http::json(&Map::of(MapState::Ready, generation, catalog, &picture.points, groups)))
        }
        Seen::Drawing { index, points } => {
            let map = Map::of(MapState::Drawing, index.generation, &index.catalog, points, &[]);
            let again = [(header::RETRY_AFTER, "1")];
            Ok((StatusCode::ACCEPTED, again, http::json(&map)).into_response())
        }
        Seen::NoVectors(index) => {
            let map = Map::of(MapState::NoVectors, index.generation, &index.catalog, &[], &[]);
            Ok(http::json(&Map { reason, ..map }))
        }
        Seen::Failed => Err(Problem::internal()),
    })
    .await?
}

/// `GET /v1/map/query`
pub async fn place(Scoped(live): Scoped, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["q", scope::PROFILE])?;
    let Some(text) = params.one("q")? else {
        return Err(Problem::invalid("say what to look for: ?q=…"));
    };
    let query = Query { texts: vec![text.to_owned()], ..Query::default() };
    query.check(|_| true)?;
    if !live.is_ready() {
        return Err(Problem::not_ready());
    }
    let (at, reason) = match live.place(text).await {
        Ok(Some(point)) => (Some(point.map(steps)), None),
        Ok(None) => (None, Some(not_drawn(&live))),
        Err(reason) => (None, Some(reason)),
    };
    Ok(http::json(&MapPlace { generation: live.index().generation, at, reason }))
}

fn not_drawn(live: &Live) -> String {
    match live.status().reason {
        Some(reason) if live.index().dense.is_none() => reason,
        _ => "there is no picture yet: GET /v1/map has one drawn".into(),
    }
}

impl<'a> Map<'a> {
    fn of(
        state: MapState,
        generation: u64,
        catalog: &'a Catalog,
        points: &[Option<Point>],
        groups: &[Vec<ToolIdx>],
    ) -> Self {
        let mut map = Self {
            state,
            reason: None,
            generation,
            method: METHOD,
            tools: catalog.len(),
            servers: Vec::new(),
            server: Vec::new(),
            name: Vec::new(),
            x: Vec::new(),
            y: Vec::new(),
            groups: Vec::new(),
        };
        let mut places = vec![0; points.len()];
        let mut count = 0_u32;
        for ((tool, point), place) in catalog.tools().iter().zip(points).zip(&mut places) {
            let Some(point) = point else { continue };
            *place = count;
            count += 1;
            // A server's tools need not stand together: `a/b` may be one, or a tool of `a`.
            let server = tool.server.as_str();
            let at = match map.servers.last() {
                Some(last) if *last == server => map.servers.len() - 1,
                _ => map.servers.iter().position(|known| *known == server).unwrap_or_else(|| {
                    map.servers.push(server);
                    map.servers.len() - 1
                }),
            };
            map.server.push(u32::try_from(at).unwrap_or(u32::MAX));
            map.name.push(&tool.name);
            let [x, y] = point.map(steps);
            map.x.push(x);
            map.y.push(y);
        }
        let place =
            |tool: &ToolIdx| points[tool.as_usize()].is_some().then(|| places[tool.as_usize()]);
        let groups = groups.iter().map(|group| group.iter().filter_map(place).collect::<Vec<_>>());
        map.groups = groups.filter(|group| group.len() > 1).collect();
        map
    }
}

fn steps(number: f32) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "it stops at the largest")]
    let steps = (number * STEPS).round() as i32;
    steps
}
