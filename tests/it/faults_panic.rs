//! An encoder that comes apart: one answer is lexical and says why, one tool has no vector, and all
//! others are as ever.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use toolscout::catalog::{Listing, Outcome, ServerInfo, ServerUpdate};
use toolscout::embed::cache::VectorCache;
use toolscout::embed::{Cost, EmbedError, Embedder, Fixed, Role};
use toolscout::live::indexer::Indexer;
use toolscout::live::{Encoder, Live};
use toolscout::tool::Tool;

use crate::support::app::{TestApp, config};
use crate::support::faults::ROUNDS;
use crate::support::service::ids;

/// The encoder in the binary, which panics at a word and is as slow as its cost says.
struct Delicate(Fixed, Cost);

impl Embedder for Delicate {
    fn id(&self) -> &'static str {
        "delicate"
    }
    fn dims(&self) -> usize {
        self.0.dims()
    }
    fn cost(&self) -> Cost {
        self.1
    }
    fn embed(
        &self,
        role: Role,
        texts: &[&str],
        until: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        assert!(!texts.iter().any(|text| text.contains("poison")), "on purpose");
        self.0.embed(role, texts, until)
    }
}

async fn panics(app: &TestApp) -> u64 {
    let text = app.get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix("toolscout_embed_panics_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

async fn comes_apart(cost: Cost) {
    let embedder: Arc<dyn Embedder> = Arc::new(Delicate(Fixed::in_binary().unwrap(), cost));
    let live = Live::new("nothing yet");
    live.set_encoder(Encoder::start(Arc::clone(&embedder), 1, Duration::from_mins(1)).unwrap());
    let indexer = Indexer::new(live.clone(), None);
    let (updates, received) = mpsc::channel(8);
    let (cache, vectors) = oneshot::channel();
    assert!(cache.send(Arc::new(VectorCache::in_memory(embedder))).is_ok());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(indexer.run(received, vectors, 1, shutdown.clone()));
    let list = async |tools: &[(&str, &str)]| {
        let tool = |(name, said): &(&str, &str)| {
            let text = serde_json::json!({"name": name, "description": said}).to_string();
            Tool::parse(&"srv".into(), &text).unwrap()
        };
        let listing = Listing {
            info: ServerInfo::default(),
            tools: tools.iter().map(tool).collect(),
            crawled_at: SystemTime::now(),
            defects: Vec::new(),
        };
        let update = ServerUpdate {
            server: "srv".into(),
            transport: "http",
            outcome: Outcome::Listed(listing),
            next_crawl: None,
        };
        updates.send(update).await.unwrap();
    };
    let app = TestApp::serve(live, &config()).await;
    let until_vectors = async |wanted: u64| {
        let all = async || app.get("/v1/status").await.json()["embedded"] == wanted;
        let waiting = async {
            while !all().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(1), waiting).await;
        assert!(waited.is_ok(), "{}", app.get("/v1/status").await.text);
    };
    let before = panics(&app).await;
    let bell = ("bell", "Ring the bell");
    list(&[bell, ("cup", "Fill the cup with poison"), ("door", "Open the door")]).await;
    until_vectors(2).await;
    for round in 0..ROUNDS {
        let answer = app.get(&format!("/v1/search?q=poison+the+bell+{round}")).await.json();
        assert_eq!(answer["mode"], "lexical", "{answer}");
        let reason = answer["reason"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(reason.contains("the encoder panicked on this text"), "{reason}");
        assert!(ids(&answer).contains(&"srv/cup".to_owned()), "{answer}");
        let answer = app.get(&format!("/v1/search?q=ring+the+bell+{round}")).await.json();
        assert_eq!(answer["mode"], "hybrid", "{answer}");
        assert_eq!(answer["tools"][0]["id"], "srv/bell");
    }
    // A definition that is well again has its vector, from the same thread.
    list(&[bell, ("cup", "Fill the cup with tea"), ("door", "Open the door")]).await;
    until_vectors(3).await;
    let counted = panics(&app).await - before;
    assert!(counted > ROUNDS as u64, "{counted} panics are counted");
    app.stop().await;
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_an_instant_encoder_costs_one_answer() {
    comes_apart(Cost::Instant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_an_encoder_with_threads_costs_one_answer() {
    comes_apart(Cost::Core).await;
}
