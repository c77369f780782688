"""The domain: articles, filters, scores, routing and messages. Loads neither Kafka, torch nor the network."""
