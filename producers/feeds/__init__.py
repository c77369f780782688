"""News feeds as a source of articles: subscriptions -> polls -> entries -> articles.raw (docs/feeds.md)."""
